"""Any folder of images as a dataset: its splits, its classes, in memory or read as it is needed."""

import os
import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.spec import NORMALISATIONS, InputSpec
from cnnlab.data.splits import split_columns
from cnnlab.data.streaming import ImageFiles, skippable
from cnnlab.data.targets import SPLITS, TARGETS, Listing, read_targets
from cnnlab.files.images import ImageError, read_header

AUTO_SIDE = 128  # the longer side of `auto`: photos of 20 megapixels are no input for a network
AUTO_HEADERS = 100  # files whose headers decide `auto` channels
STATISTICS_FILES = 4096  # of a streamed training split, to measure its normalisation on
_EXPERIMENT = "experiment.json"  # lies in every run directory
_LIKE_SPLITS = {*SPLITS, "training", "testing", "eval", "evaluation"}
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}


def folder(
    path: str,
    *,
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    channels: Literal["auto", 1, 3] = "auto",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    skip_unreadable: bool = False,
    memory_megabytes: int = 1000,
    normalisation: Literal["measured", "imagenet", "symmetric"] = "measured",
) -> Dataset:
    """Images on disk, in one of three layouts; the first that is found counts.

    - `DIR/targets.csv`: see `cnnlab.data.targets.read_targets`; a class, several labels or numbers for each file.
    - `DIR/<split>/<class>/*`: splits `train`, `validation` (or `valid`, `val`) and `test`.
    - `DIR/<class>/*`.

    Splits that the folder does not give are set aside from its training images, stratified by class (of several labels,
    by the rarest); which, is a function of `seed` and the names. Subfolders of a class belong to it; hidden files are
    left out, any other file must be an image.

    Args:
      path: the folder.
      size: height and width in pixels, one number for squares; every whole image is resized to it. `auto` takes the
        first training image's size, shrunk so that its longer side has at most 128 pixels.
      channels: 1 for grey, 3 for RGB; `auto` is grey where up to 100 training files, spread evenly, are all grey.
      validation: share of all images, where the folder has no such split; of its `train` where it has a `test`.
      test: likewise.
      seed: of the split and of samples.
      skip_unreadable: leave damaged files out, with a warning that counts them, instead of stopping at the first. A
        set that does not fit in memory is decoded once to find them.
      memory_megabytes: a set that takes more, decoded, is read from disk batch by batch; its normalisation is then
        measured on 4,096 training images.
      normalisation: mean and standard deviation `measured` on the training images; or, as pretrained networks expect,
        those of `imagenet`, or `symmetric`: .5 and .5, which gives -1..1.

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
    for name, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1 or validation + test >= 1:
            raise ValueError(f"{name} must be a share of the images, the two below 1 together, found {share}")
    listing = _list(root)
    if "label" in listing.columns and len(listing.classes) < 2:
        raise ValueError(f"{root} has one class only ({listing.classes[0]!r}); a classifier needs two or more")
    tables = _split(listing, validation, test, seed)
    _check_labels(tables, listing.classes, root)
    size, channels = _resolve(root, tables["train"]["image"], size, channels, skip_unreadable)
    if normalisation != "measured" and channels != 3:
        raise ValueError(
            f"the normalisation {normalisation!r} is of 3 channels, the images have {channels}; set channels to 3"
        )
    splits = {
        split: columns | {"image": ImageFiles(root, columns["image"], size, channels)}
        for split, columns in tables.items()
    }
    n = len(listing.names)
    in_memory = n * size[0] * size[1] * channels <= memory_megabytes * 1_000_000
    if skip_unreadable:
        splits = _readable(splits, root)
        _check_labels(splits, listing.classes, root)
    if in_memory:
        splits = {split: columns | {"image": columns["image"][:]} for split, columns in splits.items()}
    if normalisation in NORMALISATIONS:
        mean, std = NORMALISATIONS[normalisation]
    else:
        sample = None if in_memory else STATISTICS_FILES
        mean, std = statistics(splits["train"]["image"], sample=sample, seed=seed)
    spec = InputSpec(size, channels, mean, std, listing.classes)
    return Dataset(root.name or str(root), spec, {split: Examples(columns) for split, columns in splits.items()})


def _list(root: Path) -> Listing:
    """The files, by the first layout that is found."""
    if (root / TARGETS).is_file():
        return read_targets(root)
    inside = _folders(root)
    if "train" in inside and _folders(root / "train") and not _files(root / "train", deep=False):
        strange = [name for name in inside if name not in SPLITS]
        if strange:
            raise ValueError(
                f"{root} has train/<class>, so its folders are splits: {', '.join(SPLITS)}; not {strange[0]!r}"
            )
        parts = {name: _folders(root / name) for name in inside}
        classes = tuple(parts["train"])
        for name, found in parts.items():
            for extra in found:
                if extra not in classes and _files(root / name / extra):
                    raise ValueError(
                        f"{root / name} has a class {extra!r} that train lacks (it has {', '.join(classes)}); add "
                        "training images of it or remove it"
                    )
        folders = [(name, label, found) for name in inside for label, found in enumerate(classes)]
        paths = [(SPLITS[name], label, Path(name) / found) for name, label, found in folders]
    else:
        if splits := [name for name in inside if name.lower() in _LIKE_SPLITS and _folders(root / name)]:
            raise ValueError(
                f"{root / splits[0]} holds folders, so it looks like a split, not a class: call the splits "
                f"{', '.join(SPLITS)}, and keep loose files out of train"
            )
        classes = tuple(inside)
        paths = [(None, label, Path(name)) for label, name in enumerate(inside)]
    if not classes:
        loose = " (its images lie in no class)" if _files(root, deep=False) else ""
        raise ValueError(f"{root} holds no folder of images{loose}; make one for each class, or add {TARGETS}")
    names, labels, split = [], [], []
    for part, label, place in paths:
        found = _files(root / place) if (root / place).is_dir() else []
        if not found and part in (None, "train"):
            raise ValueError(f"{root / place} holds no image; add some or remove the folder")
        names += [str(place / name) for name in found]
        labels += [label] * len(found)
        split += [part] * len(found)
    known = None if split[0] is None else np.array(split, object)
    return Listing(np.array(names, object), {"label": np.array(labels, np.int32)}, classes, known)


def _visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _CLUTTER


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        found = sorted(entry.name for entry in entries if entry.is_dir() and _visible(entry.name))
    return [name for name in found if not _holds_runs(root / name)]


def _holds_runs(folder: Path) -> bool:
    """Whether a folder is a run's, or the one where runs lie if none is told: of a training amid its images."""
    return (folder / _EXPERIMENT).is_file() or (folder.name == "runs" and any(folder.glob(f"*/{_EXPERIMENT}")))


def _files(root: Path, *, deep: bool = True) -> list[str]:
    """All files below (or right in) a folder, relative to it, sorted."""
    found = []
    for here, folders, files in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if deep and _visible(name)]
        found += [os.path.relpath(os.path.join(here, name), root) for name in files if _visible(name)]
    return sorted(found)


def _raise(error: OSError) -> None:
    """A folder that cannot be listed is no empty one."""
    raise error


def _split(listing: Listing, validation: float, test: float, seed: int) -> dict[str, Columns]:
    """Columns a split, `image` being names; splits that are missing are set aside from `train`."""
    columns = {"image": listing.names} | listing.columns
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
        raise ValueError(f"no file is of the split 'train'; the splits are {', '.join(tables)}")
    shares = {"train": 1.0, "validation": validation, "test": test}
    missing = {split: share for split, share in shares.items() if split not in tables}
    if missing:
        whole = tables.pop("train")
        tables |= split_columns(whole, {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    return {split: tables[split] for split in shares}


def _check_labels(tables: dict[str, Columns], classes: tuple[str, ...], root: Path) -> None:
    """Every class occurs in training."""
    column = {split: columns.get("label", columns.get("labels")) for split, columns in tables.items()}
    if column["train"] is None:
        return
    count = {s: np.bincount(c, minlength=len(classes)) if c.ndim == 1 else c.sum(0) for s, c in column.items()}
    for split, found in count.items():
        strange = np.flatnonzero((found > 0) & (count["train"] == 0))
        if len(strange):
            raise ValueError(
                f"{root}: {split} has a class {classes[strange[0]]!r} that train lacks; add images or remove it"
            )
    if not count["train"].all():
        raise ValueError(f"{root}: no image of class {classes[int(count['train'].argmin())]!r} can be read")


def _resolve(root: Path, names: np.ndarray, size, channels, skip_unreadable: bool) -> tuple[tuple[int, int], int]:
    """Size and channels with `auto` filled in from headers, no pixel decoded."""
    given = (size, size) if isinstance(size, int) else size
    if given != "auto" and not (len(given) == 2 and all(1 <= side <= 4096 for side in given)):
        raise ValueError(f"size must lie in 1..4096 pixels or be 'auto', found {size}")
    if channels not in ("auto", 1, 3):
        raise ValueError(f"channels must be 1, 3 or 'auto', found {channels}")
    if given != "auto" and channels != "auto":
        return tuple(given), channels
    headers = []
    for place in np.linspace(0, len(names) - 1, min(len(names), AUTO_HEADERS)).astype(int):
        try:
            headers.append(read_header(root / names[place]))
        except ImageError as error:
            if not skip_unreadable:
                raise skippable(error) from error
    if not headers:
        raise ValueError(f"none of the training images of {root} can be read; is {root / names[0]} an image?")
    height, width = headers[0][0]
    scale = min(1.0, AUTO_SIDE / max(height, width))
    auto = (max(1, round(height * scale)), max(1, round(width * scale)))
    return auto if given == "auto" else tuple(given), max(c for _, c in headers) if channels == "auto" else channels


def _readable(splits: dict[str, Columns], root: Path) -> dict[str, Columns]:
    """The splits without the files that cannot be read, and a warning that counts them."""
    kept, wrong = {}, []
    for split, columns in splits.items():
        good, messages = columns["image"].readable()
        wrong += messages
        if not good.any():
            raise ValueError(f"none of the {len(good)} {split} images of {root} can be read; the first: {messages[0]}")
        places = np.flatnonzero(good)
        rest = {name: column[places] for name, column in columns.items() if name != "image"}
        kept[split] = rest | {"image": columns["image"].take(places)}
    if wrong:
        total = sum(len(columns["image"]) for columns in splits.values())
        warnings.warn(f"{len(wrong)} of {total} files of {root} skipped; the first: {wrong[0]}", stacklevel=3)
    return kept
