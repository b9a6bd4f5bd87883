"""Datasets from folders of images, kept in memory or read from disk batch by batch."""

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.groups import groups_of, without_groups
from cnnlab.data.spec import NORMALISATIONS, InputSpec
from cnnlab.data.splits import check_shares, split_columns
from cnnlab.data.streaming import ImageFiles, skippable
from cnnlab.data.targets import SPLITS, TARGETS, Listing, looks_like_split, read_targets
from cnnlab.files.images import read_header
from cnnlab.files.listing import is_visible, list_files, warn_left_out
from cnnlab.files.opening import ImageError

AUTO_SIDE = 128  # largest side in pixels that `auto` chooses, because whole photos are too large for a network
STRIP_HEIGHT, STRIP_WIDTH = 32, 2048  # pixels of strips by `auto`: their height, and the largest width
STRIDE = 16  # files of different sizes become squares whose side is a multiple of this
AUTO_HEADERS = 100  # files whose headers decide the channels of `auto`
STATISTICS_FILES = 4096  # training images that are sampled to normalise a streamed set
_EXPERIMENT = "experiment.json"  # a file in every run directory


def folder(
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
    normalisation: Literal["measured", "imagenet", "symmetric"] = "measured",
    decoding: Literal["fast", "exact"] = "fast",
) -> Dataset:
    """Reads a folder of images in the first of these layouts that matches.

    - `DIR/targets.csv`: a class, several labels, numbers or a string for each file; see
      `cnnlab.data.targets.read_targets`.
    - `DIR/<split>/<class>/*`: splits `train`, `validation` (or `valid`, `val`) and `test`.
    - `DIR/<class>/*`.

    Splits that the folder lacks are set aside from its training images, stratified by class (with several labels, by
    the rarest). The choice depends only on `seed` and the file names. Images in subfolders of a class belong to it.
    Hidden files are ignored; files without the suffix of an image are left out with a warning.

    Args:
      path: the folder.
      size: height and width in pixels, or one number for a square; every whole image is resized to it. `auto` reads
        the headers of up to 100 training files, spread evenly. If they have one size, it takes that size; otherwise a
        square with their median side, which is a multiple of 16. Both have at most 128 pixels a side. Strips with a
        string keep their shape: `auto` is 32 pixels high and as wide as the widest of the 100, and narrower strips are
        padded on the right.
      channels: 1 for grey, 3 for RGB; `auto` is grey if up to 100 training files, spread evenly, are all grey.
      validation: share of all images in the validation split, if the folder has no such split; if it has a `test`
        split, the share of its `train`.
      test: share of all images in the test split, if the folder has no such split; if it has a `validation` split, the
        share of its `train`.
      group: what keeps images in one split, so that a patient, a sheet or a video is in no two: a column of
        `targets.csv`, `folder` for the folder of a file, or a regular expression for its path, such as `^([^_]+)_`.
      seed: seed of the split and of samples.
      skip_unreadable: whether to leave out damaged files, with a warning that counts them, instead of stopping at the
        first. All files are decoded once to detect them if the set does not fit in memory.
      memory_megabytes: largest decoded size of a set that is kept in memory, in MB. A larger set is read from disk
        batch by batch, and its normalisation is measured on 4,096 training images.
      normalisation: mean and standard deviation: `measured` on the training images; or those that pretrained networks
        expect: `imagenet`, or `symmetric` (0.5 and 0.5, which gives -1..1).
      decoding: `fast` decodes a JPEG of at least four times `size` at 1/2, 1/4 or 1/8 of its size, in training and in
        prediction, which changes its values by less than 1 of 255 on average; `exact` decodes every photo whole.

    Raises:
      ValueError: the folder is missing or empty, has one class only, a split has a class that `train` lacks, or a
        file cannot be read.

    >>> folder("photos")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: photos is no folder; ...
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with an image folder for each class, or with {TARGETS}")
    check_shares(validation, test, "images")
    listing = list_folder(root, group=group)
    if "label" in listing.columns and len(listing.classes) < 2:
        raise ValueError(f"{root} has one class only ({listing.classes[0]!r}); a classifier needs two or more")
    if group is not None and listing.group is None:
        names = [Path(name).as_posix() for name in listing.names]
        listing = listing._replace(group=groups_of(names, group))
    tables = without_groups(split_listing(listing, validation, test, seed))
    _check_labels(tables, listing.classes, root)
    was_auto, fit = size == "auto", "strip" if "text" in listing.columns else "stretch"
    size, channels = resolve_form(root, tables["train"]["image"], size, channels, skip_unreadable, fit)
    if normalisation != "measured" and channels != 3:
        raise ValueError(
            f"the normalisation {normalisation!r} needs 3 channels, the images have {channels}; set channels to 3"
        )
    splits = {
        split: columns | {"image": ImageFiles(root, columns["image"], size, channels, fit, decoding)}
        for split, columns in tables.items()
    }
    n = len(listing.names)
    in_memory = n * size[0] * size[1] * channels <= memory_megabytes * 1_000_000
    if skip_unreadable:
        splits = _readable(splits, root)
        _check_labels(splits, listing.classes, root)
    files = {split: np.array([str(root / name) for name in c["image"].names], object) for split, c in splits.items()}
    sizes = file_sizes(root, splits["train"]["image"].names)
    if in_memory:
        splits = {split: columns | {"image": columns["image"][:]} for split, columns in splits.items()}
    if normalisation in NORMALISATIONS:
        mean, std = NORMALISATIONS[normalisation]
    else:
        sample = None if in_memory else STATISTICS_FILES
        mean, std = statistics(splits["train"]["image"], sample=sample, seed=seed)
    spec = InputSpec(size, channels, mean, std, listing.classes, fit, decoding=decoding)
    remarks = resize_remark(size, sizes) if was_auto else ()
    examples = {split: Examples(columns, files=files[split]) for split, columns in splits.items()}
    return Dataset(root.name or str(root), spec, examples, remarks, sizes)


def list_folder(root: Path, *, group: str | None = None) -> Listing:
    """Lists the files of the first layout that matches."""
    if (root / TARGETS).is_file():
        return read_targets(root, group=group)
    inside = _folders(root)
    if "train" in inside and _folders(root / "train") and not _files(root / "train", deep=False):
        strange = [name for name in inside if name not in SPLITS]
        if strange:
            raise ValueError(
                f"{root} has train/<class>, so its folders are splits: {', '.join(SPLITS)}; not {strange[0]!r}"
            )
        parts = {name: _folders(root / name) for name in inside}
        classes = tuple(parts["train"])
        for name, part_classes in parts.items():
            for extra in part_classes:
                if extra not in classes and _files(root / name / extra):
                    raise ValueError(
                        f"{root / name} has a class {extra!r} that train lacks (it has {', '.join(classes)}); add "
                        "training images of it or remove it"
                    )
        folders = [(name, label, class_name) for name in inside for label, class_name in enumerate(classes)]
        paths = [(SPLITS[name], label, Path(name) / class_name) for name, label, class_name in folders]
    else:
        if splits := [name for name in inside if looks_like_split(name) and _folders(root / name)]:
            raise ValueError(
                f"{root / splits[0]} holds folders, so it looks like a split, not a class: call the splits "
                f"{', '.join(SPLITS)}, and keep loose files out of train"
            )
        classes = tuple(inside)
        paths = [(None, label, Path(name)) for label, name in enumerate(inside)]
    if not classes:
        loose = " (its images lie in no class)" if _files(root, deep=False) else ""
        raise ValueError(f"{root} holds no folder of images{loose}; make one for each class, or add {TARGETS}")
    _warn_left_out(root, [place for _, _, place in paths])
    names, labels, split = [], [], []
    for part, label, place in paths:
        files = _files(root / place) if (root / place).is_dir() else []
        if not files and part in (None, "train"):
            raise ValueError(f"{root / place} holds no image; add some or remove the folder")
        names += [str(place / name) for name in files]
        labels += [label] * len(files)
        split += [part] * len(files)
    known = None if split[0] is None else np.array(split, object)
    return Listing(np.array(names, object), {"label": np.array(labels, np.int32)}, classes, known)


def list_labelled(root: Path) -> Listing:
    """Lists the labelled files of a folder of any splits and any number of classes, none of which is trained on."""
    if (root / TARGETS).is_file():
        return read_targets(root)
    inside = _folders(root)
    in_splits = [name for name in inside if name in SPLITS and _folders(root / name)]
    places = [(split, label, Path(split) / label) for split in in_splits for label in _folders(root / split)]
    places = places or [(None, label, Path(label)) for label in inside]
    classes = tuple(sorted({label for _, label, _ in places}))
    rows = [
        (str(place / name), classes.index(label), split and SPLITS[split])
        for split, label, place in places
        for name in _files(root / place)
    ]
    if not rows:
        raise ValueError(f"{root} holds no folder of images; make one for each class, or add {TARGETS}")
    _warn_left_out(root, [place for _, _, place in places])
    names, labels, split = zip(*rows, strict=True)
    known = np.array(split, object) if in_splits else None
    return Listing(np.array(names, object), {"label": np.array(labels, np.int32)}, classes, known)


def _folders(root: Path) -> list[str]:
    """Lists the visible folders in a folder, without those of runs, sorted."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and is_visible(entry.name))
    return [name for name in names if not _holds_runs(root / name)]


def _holds_runs(folder: Path) -> bool:
    """Returns whether a folder is a run directory, or the default folder `runs` of a training among its images."""
    return (folder / _EXPERIMENT).is_file() or (folder.name == "runs" and any(folder.glob(f"*/{_EXPERIMENT}")))


def _files(root: Path, *, deep: bool = True) -> list[str]:
    """Lists the images below (or directly in) a folder, relative to it, sorted."""
    return sorted(os.path.relpath(path, root) for path in list_files(root, deep=deep).images)


def _warn_left_out(root: Path, places: Sequence[Path]) -> None:
    """Warns of files that belong to no class: in no folder of a class, or no images."""
    loose = list_files(root, deep=False)
    others = [path for place in places if (root / place).is_dir() for path in list_files(root / place).others]
    warn_left_out(root, [*loose.images, *loose.others, *others], kind="image of a class")


def split_listing(listing: Listing, validation: float, test: float, seed: int) -> dict[str, Columns]:
    """Groups the columns by split, with names in `image`, and sets missing splits aside from `train`."""
    columns = {"image": listing.names} | listing.columns
    if listing.group is not None:
        columns["group"] = listing.group
    if listing.split is None:
        return split_columns(
            columns, {"train": 1 - validation - test, "validation": validation, "test": test}, seed=seed
        )
    tables = {}
    for split in ("train", "validation", "test"):
        chosen = np.flatnonzero(listing.split == split)
        if len(chosen):
            tables[split] = {name: column[chosen] for name, column in columns.items()}
    if "train" not in tables:
        raise ValueError(f"no file is in the split 'train'; the splits are {', '.join(tables)}")
    shares = {"train": 1.0, "validation": validation, "test": test}
    missing = {split: share for split, share in shares.items() if split not in tables}
    if missing:
        whole = tables.pop("train")
        tables |= split_columns(whole, {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    return {split: tables[split] for split in shares}


def _check_labels(tables: dict[str, Columns], classes: tuple[str, ...], root: Path) -> None:
    """Raises `ValueError` unless every class occurs in the training split."""
    column = {split: columns.get("label", columns.get("labels")) for split, columns in tables.items()}
    if column["train"] is None:
        return
    count = {s: np.bincount(c, minlength=len(classes)) if c.ndim == 1 else c.sum(0) for s, c in column.items()}
    for split, occurrences in count.items():
        strange = np.flatnonzero((occurrences > 0) & (count["train"] == 0))
        if len(strange):
            raise ValueError(
                f"{root}: {split} has a class {classes[strange[0]]!r} that train lacks; add images or remove it"
            )
    if not count["train"].all():
        raise ValueError(f"{root}: no image of class {classes[int(count['train'].argmin())]!r} can be read")


def resolve_form(
    root: Path, names: np.ndarray, size, channels, skip_unreadable: bool, fit: str
) -> tuple[tuple[int, int], int]:
    """Returns the size and the channels, with `auto` resolved from image headers; no pixel is decoded."""
    sides = (size, size) if isinstance(size, int) else size
    if sides != "auto" and not (len(sides) == 2 and all(1 <= side <= 4096 for side in sides)):
        raise ValueError(f"size must lie in 1..4096 pixels or be 'auto', found {size}")
    if channels not in ("auto", 1, 3):
        raise ValueError(f"channels must be 1, 3 or 'auto', found {channels}")
    if sides != "auto" and channels != "auto":
        return tuple(sides), channels
    headers = []
    for place in _spread_evenly(len(names)):
        try:
            headers.append(read_header(root / names[place]))
        except ImageError as error:
            if not skip_unreadable:
                raise skippable(error) from error
    if not headers:
        raise ValueError(f"none of the training images of {root} can be read; is {root / names[0]} an image?")
    auto = (strip_size if fit == "strip" else auto_size)([size for size, _ in headers])
    return auto if sides == "auto" else tuple(sides), max(c for _, c in headers) if channels == "auto" else channels


def file_sizes(root: Path, names: np.ndarray) -> np.ndarray:
    """Returns the height and width of up to 100 files, spread evenly, `[n, 2]`."""
    return np.array([read_header(root / names[place])[0] for place in _spread_evenly(len(names))])


def resize_remark(size: tuple[int, int], sizes: np.ndarray) -> tuple[str, ...]:
    """Returns a sentence for the size that was chosen, if one of the files has another one, `[n, 2]`."""
    remark = f"images are resized to {size[0]}×{size[1]} pixels; --data.size changes it"
    return (remark,) if (sizes != size).any() else ()


def auto_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Chooses the height and width to which files of these sizes are resized; their order does not matter.

    >>> auto_size([(28, 28), (28, 28)]), auto_size([(512, 256)] * 3), auto_size([(31, 35), (104, 98), (110, 96)])
    ((28, 28), (128, 64), (96, 96))
    """
    height, width = sizes[0]
    if len(set(sizes)) == 1:
        scale = min(1.0, AUTO_SIDE / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))
    side = float(np.median([np.sqrt(height * width) for height, width in sizes]))
    side = min(AUTO_SIDE, max(STRIDE, STRIDE * round(side / STRIDE)))  # poolings halve it to whole numbers
    return side, side


def strip_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Chooses the height and width for strips of these sizes: as wide as the widest, a multiple of 16.

    >>> strip_size([(64, 200), (40, 300)])
    (32, 240)
    """
    widest = max(width * STRIP_HEIGHT / height for height, width in sizes)
    return STRIP_HEIGHT, min(STRIDE * math.ceil(widest / STRIDE), STRIP_WIDTH)


def _spread_evenly(n: int) -> np.ndarray:
    """Returns the places of up to 100 of n files."""
    return np.linspace(0, n - 1, min(n, AUTO_HEADERS)).astype(int)


def _readable(splits: dict[str, Columns], root: Path) -> dict[str, Columns]:
    """Returns the splits without the files that cannot be read, and warns with their number."""
    readable_splits, wrong = {}, []
    for split, columns in splits.items():
        good, messages = columns["image"].readable()
        wrong += messages
        if not good.any():
            raise ValueError(f"none of the {len(good)} {split} images of {root} can be read; the first: {messages[0]}")
        places = np.flatnonzero(good)
        rest = {name: column[places] for name, column in columns.items() if name != "image"}
        readable_splits[split] = rest | {"image": columns["image"].take(places)}
    if wrong:
        total = sum(len(columns["image"]) for columns in splits.values())
        warnings.warn(f"{len(wrong)} of {total} files of {root} skipped; the first: {wrong[0]}", stacklevel=3)
    return readable_splits
