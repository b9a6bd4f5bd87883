"""Duplicates between the splits of a dataset: images with the same pixels or bytes, and images that look the same."""

import hashlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnlab.data.dataset import Dataset
from cnnlab.data.records import Records
from cnnlab.data.streaming import ImageFiles

SAMPLED = {"train": 20_000, "validation": 5_000, "test": 5_000}  # images that are compared, spread evenly
BITS = 3  # of 64 in which the hashes of two images that look the same may differ
ALIKE = 0.995  # correlation of two images that look the same
_GRID, _FINE = (8, 9), (32, 32)
_PORTION = 256


class Duplicates(NamedTuple):
    """The numbers of images of a split that another split has, too: `same` exactly, and `alike`, with an example."""

    same: int
    alike: int
    example: tuple[int, int] | None


def find_duplicates(dataset: Dataset) -> dict[tuple[str, str], Duplicates]:
    """Counts the images of the validation and test splits that also are in `train`, and those of test in validation.

    Of examples with a column `photo`, each photo counts once, in the first split that has it.

    Two images look the same if their difference hashes differ in at most 3 of 64 bits (each bit says whether a cell of
    an 8 x 9 grid of grey is darker than its right neighbour) and their grey values on a 32 x 32 grid correlate by .995
    or more. Of images that stay on disk only the bytes are compared. Up to 20,000 training images and 5,000 of another
    split count, spread evenly. Windows of one sheet are not compared.

    Returns:
      Counts by the names of two splits, without pairs that have none.
    """
    chosen, known = {}, np.array([], int)
    for split, number in SAMPLED.items():
        column = dataset.splits[split].column("image") if split in dataset.splits else None
        if isinstance(column, np.ndarray | ImageFiles | Records):
            places, known = _new_photos(dataset[split], known)
            if not len(places):
                continue
            places = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), number)).astype(int))]
            chosen[split] = (places, _digests(column, places), _looks(column, places))
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    counts = {(a, b): _compare(chosen[a], chosen[b]) for a, b in pairs if a in chosen and b in chosen}
    return {pair: count for pair, count in counts.items() if count.same or count.alike}


def make_lookout() -> Callable[[np.ndarray], int | None]:
    """Returns a function that recognises images: it returns the number of an earlier image that is the same or alike.

    For an image `[H, W, C]` that is like none before, the function returns None and remembers it by the next number,
    from 0. Images look the same as in `find_duplicates`; their sizes may differ.

    >>> look, image = make_lookout(), np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    >>> look(image), look(255 - image), look(image)
    (None, None, 0)
    """
    digests: dict[bytes, int] = {}
    hashes: list[np.uint64] = []
    fine: list[np.ndarray] = []

    def look(image: np.ndarray) -> int | None:
        (digest,), (codes, values) = _digests(image[None], np.arange(1)), _looks(image[None], np.arange(1))
        if digest in digests:
            return digests[digest]
        if hashes and values.any():
            near = np.flatnonzero(np.bitwise_count(np.array(hashes) ^ codes[0]) <= BITS)
            if len(near) and (score := np.array([fine[i] @ values[0] for i in near])).max() >= ALIKE:
                return int(near[score.argmax()])
        digests[digest] = len(hashes)
        hashes.append(codes[0])
        fine.append(values[0])
        return None

    return look


FEW = 0.01
"""Share of a split below which images that look the same are not worth a warning."""


def warn_duplicates(dataset: Dataset) -> None:
    """Warns of images that two splits share, because the network has seen them in training.

    Images that only look the same count from `FEW` of a split on: a single one changes no score.
    """
    for (first, second), count in find_duplicates(dataset).items():
        if not count.same and count.alike < FEW * len(dataset[second]):
            continue
        kinds = [f"{_images(count.same, 'is', 'are')} also in {first}"] * bool(count.same)
        kinds += [f"{_images(count.alike, 'looks', 'look')} the same as one of {first}"] * bool(count.alike)
        a, b = count.example
        warnings.warn(
            f"{dataset.name}: of the split {second}, {' and '.join(kinds)} (number {b} is number {a} of {first}), "
            f"so scores on {second} are too good; the option group (--data.group) keeps images that belong together "
            "in one split",
            stacklevel=3,
        )


def _new_photos(examples, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first example of each photo that is not known yet, and the photos that are known then.

    Without a column `photo` each example is a photo of its own.
    """
    if "photo" not in getattr(examples, "columns", ()):
        return np.arange(len(examples)), known
    photos, first = np.unique(examples.column("photo"), return_index=True)
    return np.sort(first[~np.isin(photos, known)]), np.union1d(photos, known)


def _images(number: int, one: str, several: str) -> str:
    return f"1 image {one}" if number == 1 else f"{number:,} images {several}"


def _digests(column, places: np.ndarray) -> list[bytes]:
    """Returns a digest of each image's pixels, or of its file."""
    if isinstance(column, ImageFiles):
        return [_file_digest(column.root / column.names[i]) for i in places]
    return [hashlib.blake2b(np.ascontiguousarray(column[i]).data, digest_size=16).digest() for i in places]


def _file_digest(path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _looks(column, places: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the hash `[n]` uint64 and the standardised grey values `[n, 1024]` of each image; None on disk."""
    if isinstance(column, ImageFiles | Records):
        return None
    hashes, fine = [], []
    for start in range(0, len(places), _PORTION):
        grey = column[places[start : start + _PORTION]].mean(-1, dtype=np.float32)
        cells = _shrink(grey, _GRID)
        bits = np.packbits((cells[:, :, :-1] < cells[:, :, 1:]).reshape(len(grey), -1), axis=1)
        hashes.append(bits.view(np.uint64)[:, 0])
        values = _shrink(grey, _FINE).reshape(len(grey), -1)
        values -= values.mean(1, keepdims=True)
        fine.append((values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)).astype(np.float32))
    return np.concatenate(hashes), np.concatenate(fine)


def _shrink(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the means of grey images `[n, H, W]` over a grid of cells, `[n, h, w]`; small images repeat pixels."""
    for axis, cells in ((1, size[0]), (2, size[1])):
        side = grey.shape[axis]
        if side < cells:
            grey = np.take(grey, (np.arange(cells) * side) // cells, axis)
            continue
        edges = np.arange(cells) * side // cells
        shape = [1, 1, 1]
        shape[axis] = cells
        grey = np.add.reduceat(grey, edges, axis) / np.diff(np.append(edges, side)).reshape(shape)
    return grey


def _compare(first, second) -> Duplicates:
    """Counts the images of the second split that the first has, too."""
    at = {digest: i for i, digest in zip(first[0].tolist(), first[1], strict=True)}
    same = [(at[digest], i) for i, digest in zip(second[0].tolist(), second[1], strict=True) if digest in at]
    known = {i for _, i in same}
    alike = []
    if first[2] is not None and second[2] is not None:
        for place, code, values in zip(second[0].tolist(), *second[2], strict=True):
            if place in known or not values.any():
                continue
            near = np.flatnonzero(np.bitwise_count(first[2][0] ^ code) <= BITS)
            if len(near) and (score := first[2][1][near] @ values).max() >= ALIKE:
                alike.append((int(first[0][near[score.argmax()]]), place))
    return Duplicates(len(same), len(alike), next(iter([*same, *alike]), None))
