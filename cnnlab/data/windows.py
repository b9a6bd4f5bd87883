"""Windows of large annotated images as columns of examples, cut out when a batch asks for them."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnlab.data.dataset import Examples

Region = tuple[int, int, int, int]


class Places(NamedTuple):
    """Where windows lie: of image `image[i]`, from row `top[i]` and column `left[i]` on.

    Attributes:
      image: `[n]`.
      top: `[n]`.
      left: `[n]`.
      skip: `[n, 2]`, rows and columns at the start of a window that belong to the one before.
    """

    image: np.ndarray
    top: np.ndarray
    left: np.ndarray
    skip: np.ndarray


@dataclasses.dataclass(frozen=True)
class Windows:
    """An array `[n, h, w, ...]` indexed along its first axis, whose entries are cut out of images on demand.

    Attributes:
      images: arrays `[H, W, ...]` of one dtype.
      places: of the windows.
      size: their height and width.
      once: pixels that an earlier window has shown are -1 (of masks: ignored), so that each counts once.
    """

    images: Sequence[np.ndarray]
    places: Places
    size: tuple[int, int]
    once: bool = False

    @property
    def dtype(self) -> np.dtype:
        """Of the images."""
        return self.images[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, h, w, ...)`."""
        return (len(self), *self.size, *self.images[0].shape[2:])

    def __len__(self) -> int:
        return len(self.places.top)

    def __getitem__(self, indices) -> np.ndarray:
        chosen = np.arange(len(self))[indices]
        return self._window(chosen) if chosen.ndim == 0 else np.stack([self._window(one) for one in chosen])

    def digest(self) -> str:
        """Of the images and the places."""
        digest = hashlib.sha256(f"{self.shape} {self.once}".encode())
        for array in (*self.images, *self.places):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _window(self, i: int) -> np.ndarray:
        image, top, left, skip = (column[i] for column in self.places)
        window = self.images[image][top : top + self.size[0], left : left + self.size[1]]
        if self.once and skip.any():
            window = window.copy()
            window[: skip[0]] = -1
            window[:, : skip[1]] = -1
        return window


def windows(images: Mapping[str, Sequence[np.ndarray]], places: Places, size, *, once=False) -> Examples:
    """Examples of the windows at these places: `image` `[n, h, w, C]`, `mask` `[n, h, w]` and other maps."""
    return Examples({name: Windows(p, places, size, once and name == "mask") for name, p in images.items()})


@dataclasses.dataclass(frozen=True)
class Crops(Examples):
    """Windows at places drawn anew for every epoch; indexed as they are, those of one draw.

    Attributes:
      draw: from the seed and the epoch to as many places.
    """

    draw: Callable[[int, int], Places]

    def of_epoch(self, seed: int, epoch: int) -> Examples:
        """The windows of an epoch, a function of both numbers alone."""
        places = self.draw(seed, epoch)
        return Examples({name: dataclasses.replace(column, places=places) for name, column in self.columns.items()})


def tiled_places(regions: Sequence[Region], size: tuple[int, int]) -> Places:
    """Windows side by side that cover a region of each image; the last ones overlap and `skip` what was shown.

    Args:
      regions: of each image `(top, left, bottom, right)`.
      size: of the windows.

    Raises:
      ValueError: a region is smaller than a window.

    >>> places = tiled_places([(0, 0, 4, 6)], (4, 4))
    >>> places.left.tolist(), places.skip.tolist()
    ([0, 2], [[0, 0], [0, 2]])
    """
    found = []
    for image, region in enumerate(regions):
        _check(region, size)
        for row, skip_row in _starts(region[0], region[2], size[0]):
            for column, skip_column in _starts(region[1], region[3], size[1]):
                found.append((image, row, column, skip_row, skip_column))
    table = np.array(found, np.int64)
    return Places(table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def drawn_places(
    regions: Sequence[Region],
    size: tuple[int, int],
    number: int,
    *,
    seed: int | tuple[int, ...],
    masks: Sequence[np.ndarray],
) -> Places:
    """So many windows anywhere in the regions, each with an annotated pixel at its centre; a function of the seed.

    Large regions are drawn from more often. Args as in `tiled_places`, and the `masks` of the images.

    Raises:
      ValueError: a region is smaller than a window, or holds no annotated pixel that can be a centre.
    """
    for region in regions:
        _check(region, size)
    rng = np.random.default_rng(seed)
    spans = np.array([(r[2] - r[0] - size[0] + 1, r[3] - r[1] - size[1] + 1) for r in regions], np.int64)
    share = spans.prod(1) / spans.prod(1).sum()
    kept: list[np.ndarray] = []
    drawn = 0
    while sum(map(len, kept)) < number:
        image = rng.choice(len(regions), number, p=share)
        corner = np.array([region[:2] for region in regions])[image]
        corner = corner + np.floor(rng.random((number, 2)) * spans[image]).astype(np.int64)
        centre = corner + np.array(size) // 2
        known = np.array([masks[p][tuple(c)] >= 0 for p, c in zip(image, centre, strict=True)], bool)
        kept.append(np.column_stack([image, corner])[known])
        drawn += number
        if drawn >= 100 * number and not sum(map(len, kept)):
            raise ValueError("no window of the regions has an annotated pixel at its centre; all seem to be ignored")
    table = np.concatenate(kept)[:number]
    return Places(table[:, 0], table[:, 1], table[:, 2], np.zeros((number, 2), np.int64))


def _starts(low: int, high: int, side: int) -> list[tuple[int, int]]:
    """Starts of windows from `low` to `high`, and how much of each the one before has."""
    starts = [*range(low, high - side + 1, side)]
    if starts[-1] + side < high:
        return [(start, 0) for start in starts] + [(high - side, starts[-1] + 2 * side - high)]
    return [(start, 0) for start in starts]


def _check(region: Region, size: tuple[int, int]) -> None:
    height, width = region[2] - region[0], region[3] - region[1]
    if height < size[0] or width < size[1]:
        raise ValueError(f"windows of {size[0]}x{size[1]} pixels do not fit in {height}x{width}; choose smaller ones")
