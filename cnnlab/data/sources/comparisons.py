"""Datasets of pairs of photos, of which one is above the other."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.comparisons import PAIRS, Comparisons, divide_pairs, pair_columns, read_comparisons
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.groups import groups_of
from cnnlab.data.sources.folder import STATISTICS_FILES, file_sizes, resize_remark, resolve_form
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import check_shares
from cnnlab.data.streaming import ImageFiles

CLASSES = ("score",)
_SPLITS = ("train", "validation", "test")


def comparisons(
    path: str,
    *,
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    channels: Literal["auto", 1, 3] = "auto",
    validation: float = 0.1,
    test: float = 0.2,
    group: str | None = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    memory_megabytes: int = 1000,
    decoding: Literal["fast", "exact"] = "fast",
) -> Dataset:
    """Reads a folder of photos with `DIR/pairs.csv`, which says of two photos which one is above the other.

    The header is `above,below`, with paths relative to the folder; see `cnnlab.data.comparisons.read_comparisons`. Each
    pair gives two examples, the photo above and the photo below, with the columns `pair`, `above` (1 or 0) and `photo`.

    Without a column `split` the photos are divided at random. A pair is in the test split if one of its photos is for
    the test; otherwise in the validation split if one is for the validation; otherwise in the training split. So no
    photo for the test is in a training pair, and test pairs compare such a photo with another one or with a known one.
    Splits that a column `split` lacks are set aside from its training pairs in the same way.

    Args:
      path: the folder.
      size: height and width in pixels, or one number for a square, as in `folder`.
      channels: 1 for grey, 3 for RGB, as in `folder`.
      validation: share of the photos for the validation, if the table has no such split.
      test: share of the photos for the test, if the table has no such split.
      group: what keeps photos together when they are divided, so that a street or a patient is in one split: `folder`,
        or a regular expression for the path, such as `^([^_]+)_`.
      seed: seed of the division and of samples.
      skip_unreadable: whether to leave out pairs with a damaged file, with a warning, instead of stopping.
      memory_megabytes: largest decoded size of a set that is kept in memory, in MB, where a photo counts once for each
        of its pairs. A larger set is read from disk batch by batch.
      decoding: as in `folder`.

    Raises:
      ValueError: the folder or its table is missing, a row does not fit, a split gets no pair, or a file cannot be
        read.

    >>> comparisons("streets")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: streets is no folder; ...
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with photos and {PAIRS}")
    check_shares(validation, test, "photos")
    listing = read_comparisons(root)
    if skip_unreadable:
        listing = _readable(listing, root)
    parts, divided = _split(root, listing, {"validation": validation, "test": test}, group, seed)
    pairs_of = {split: np.flatnonzero(parts == split) for split in _SPLITS}
    learnt = listing.photos[np.unique(listing.pairs[pairs_of["train"]])]
    was_auto, fit = size == "auto", "stretch"
    size, channels = resolve_form(root, learnt, size, channels, skip_unreadable, fit)
    files = ImageFiles(root, listing.photos, size, channels, fit, decoding)
    in_memory = listing.pairs.size * size[0] * size[1] * channels <= memory_megabytes * 1_000_000
    splits = {}
    for split, chosen in pairs_of.items():
        columns = pair_columns(files, listing.pairs, chosen, in_memory=in_memory)
        names = listing.photos[columns["photo"]]
        splits[split] = Examples(columns, files=np.array([str(root / name) for name in names], object))
    images = splits["train"].column("image")
    mean, std = statistics(images, sample=None if in_memory else STATISTICS_FILES, seed=seed)
    sizes = file_sizes(root, learnt)
    remarks = (*divided, *listing.remarks(), *(resize_remark(size, sizes) if was_auto else ()))
    spec = InputSpec(size, channels, mean, std, CLASSES, fit, decoding=decoding)
    return Dataset(root.name or str(root), spec, splits, remarks, sizes)


def _split(
    root: Path, listing: Comparisons, shares: dict[str, float], group: str | None, seed: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the split of each pair `[n]`, and a sentence that says how the photos were divided, if they were."""
    parts = np.full(len(listing.pairs), "train", object) if listing.split is None else listing.split.copy()
    shares = {split: share for split, share in shares.items() if not (parts == split).any()}
    own = np.flatnonzero(parts == "train")
    if shares and len(own):
        groups = listing.photos if group is None else groups_of([Path(p).as_posix() for p in listing.photos], group)
        parts[own] = divide_pairs(listing.pairs[own], groups, {"train": 1 - sum(shares.values()), **shares}, seed=seed)
    number = {split: int((parts == split).sum()) for split in _SPLITS}
    if empty := [split for split in _SPLITS if not number[split]]:
        raise ValueError(
            f"{root / PAIRS} leaves no pair for the split {empty[0]!r}, of {len(parts):,} pairs of "
            f"{len(listing.photos):,} photos; add pairs, change --data.validation and --data.test, or name the split "
            "of each pair in a column 'split'"
        )
    if not shares:
        return parts, ()
    counts = ", ".join(f"{count:,} pairs for {split}" for split, count in number.items())
    new = " and ".join(f"{100 * share:g} % for {split}" for split, share in shares.items())
    return parts, (f"{counts}: the photos were divided ({new}), and a pair with a photo for test is in test",)


def _readable(listing: Comparisons, root: Path) -> Comparisons:
    """Returns the pairs whose files can both be read, and warns with the number of the others."""
    good, messages = ImageFiles(root, listing.photos, (1, 1), 1).readable()
    if not messages:
        return listing
    keep = good[listing.pairs].all(1)
    if not keep.any():
        raise ValueError(f"no pair of {root / PAIRS} has two files that can be read; the first: {messages[0]}")
    warnings.warn(
        f"{(~keep).sum():,} of {len(keep):,} pairs of {root} skipped, because {len(messages):,} files cannot be read; "
        f"the first: {messages[0]}",
        stacklevel=3,
    )
    split = None if listing.split is None else listing.split[keep]
    return listing._replace(pairs=listing.pairs[keep], split=split)
