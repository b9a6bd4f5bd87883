"""Folders of images and masks that share their names, and one big annotated sheet, as datasets."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.dataset import Columns, Dataset, Examples, split_columns, statistics
from cnnlab.data.images import SHEET_PIXELS, SUFFIXES, at_most, read_header, read_pixels
from cnnlab.data.masks import CLASSES, ClassTable, distinct, guess_classes, read_classes, read_codes, to_classes
from cnnlab.data.rasters import check_bands, known_pixels
from cnnlab.data.spec import InputSpec
from cnnlab.data.targets import SPLITS
from cnnlab.data.windows import Crops, Places, Region, drawn_places, tiled_places, windows
from cnnlab.losses import border_weights
from cnnlab.ops.arithmetic import at_least

_MEASURED = 4096  # training images, for their mean and standard deviation


def pairs(
    path: str,
    *,
    images: str = "images",
    masks: str = "masks",
    classes: tuple[str, ...] = (),
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    window: int | None = None,
    crops: int = 1000,
    channels: Literal[1, 3] = 3,
    border_weight: float = 0.0,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Images with a mask of the same stem each: `DIR/images/a.jpg`, `DIR/masks/a.png`; or so in `DIR/<split>`.

    Masks hold values, places of a palette, or colours, explained by `DIR/classes.csv` (`class,value` or
    `class,colour`; the class `ignore` is left out). Without it 0 and 255 are no and yes, otherwise 0, 1, ... without a
    gap the classes and 255 ignored. Where a TIFF image has no data (its nodata value in every band, or alpha of 0), the
    mask is ignored and the image black, as in sheets that are predicted.

    Args:
      path: the folder.
      images: the name of the images' folder.
      masks: likewise of the masks'.
      classes: names, where there is no table.
      size: height and width in pixels to which all are resized, masks by the nearest pixel. `auto`: they stay as they
        are, which must be one size unless a `window` is given.
      window: side of square windows; training draws `crops` of them, the other splits are covered by them.
      crops: windows an epoch; others in every epoch, functions of the seeds and the epoch.
      channels: 1 for grey, 3 for RGB.
      border_weight: how much more a pixel of the first class counts in a gap between shapes of the others, U-Net's
        w_0 (there 10): the height of `losses.border_weights`; 0 for all alike.
      validation: share of all pairs, where the folder has no such split.
      test: likewise.
      seed: of the split and of the crops.

    Raises:
      ValueError: an image without a mask or a mask without an image (all are named), sizes that differ, a mask's value
        that is no class or from which none can be told, a TIFF with another number of bands than the others, a file
        that cannot be read.
    """
    _check_windows(window, crops)
    root = Path(path)
    found = _splits(root, images, masks)
    check_bands([image for listed in found.values() for image, _ in listed])
    table = read_classes(root / CLASSES) if (root / CLASSES).is_file() else None
    codes = {
        split: [read_codes(mask, coloured=table is not None and table.coloured) for _, mask in listed]
        for split, listed in found.items()
    }
    if table is None:
        files = [str(mask) for listed in found.values() for _, mask in listed]
        read = [one for listed in codes.values() for one in listed]
        table = guess_classes(dict(zip(files, map(distinct, read), strict=True)), classes)
    parts, resized = {}, False
    for split, listed in found.items():
        own = codes.pop(split)
        read = [_pair(*pair, one, table, size, channels) for pair, one in zip(listed, own, strict=True)]
        resized |= any(one.shape != mask.shape for one, (_, mask) in zip(own, read, strict=True))
        parts[split] = _maps(*zip(*read, strict=True), border_weight)
    missing = {split: share for split, share in (("validation", validation), ("test", test)) if split not in parts}
    if missing:
        parts |= split_columns(parts.pop("train"), {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    name = root.resolve().name
    _check_known({split: part["mask"] for split, part in parts.items()}, root)
    if window is not None:
        regions = {split: [(0, 0, *one.shape) for one in part["mask"]] for split, part in parts.items()}
        return _windowed(name, parts, regions, table.names, window, crops, seed, resized=resized)
    sizes = sorted({one.shape for part in parts.values() for one in part["mask"]})
    if len(sizes) > 1:
        raise ValueError(f"the images of {root} have sizes from {sizes[0]} to {sizes[-1]}; set size or window")
    splits = {split: Examples({name: np.stack(part[name]) for name in part}) for split, part in parts.items()}
    return _dataset(name, splits, table.names, resized=resized)


def sheet(
    path: str,
    mask: str,
    *,
    content: str | None = None,
    classes: tuple[str, ...] = (),
    window: int = 256,
    crops: int = 1000,
    axis: Literal["columns", "rows"] = "columns",
    validation: tuple[int, int],
    test: tuple[int, int],
    channels: Literal[1, 3] = 3,
    border_weight: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """One annotated sheet cut into windows: strips of it for validation and test, what lies before them for training.

    It may have 500 megapixels, which take 20 bytes each while it is read; cut a larger one, for `pairs` with a
    `window`. Where the image is a TIFF without data, nothing counts, as in `pairs`.

    Args:
      path: the image.
      mask: its mask, of the same size; values as in `pairs`, a `classes.csv` lying beside it.
      content: an image that is black where nothing counts, such as beyond the frame of a map.
      classes: names, where there is no table.
      window: side of the square windows, in pixels.
      crops: windows an epoch that training draws, others in every epoch.
      axis: whether the strips are columns or rows.
      validation: first and (excluded) last column or row.
      test: likewise.
      channels: 1 for grey, 3 for RGB.
      border_weight: as in `pairs`.
      seed: of the crops.

    Raises:
      ValueError: sizes that differ, strips that overlap or leave the sheet, a window that does not fit in a strip, a
        TIFF whose bands are not 1 or 3.
    """
    _check_windows(window, crops)
    check_bands([Path(path)])
    with at_most(SHEET_PIXELS):
        pixels, marks, table = _annotated(Path(path), Path(mask), content, classes, channels)
    height, width = marks.shape
    end = width if axis == "columns" else height
    strips = {"train": (0, min(validation[0], test[0])), "validation": validation, "test": test}
    low, high = sorted((tuple(validation), tuple(test)))
    if not 0 < low[0] < low[1] <= high[0] < high[1] <= end:
        raise ValueError(
            f"validation and test must be strips of the {end} {axis} that leave some before them for training and do "
            f"not overlap, found {tuple(validation)} and {tuple(test)}"
        )
    regions = {
        split: [(0, a, height, b) if axis == "columns" else (a, 0, b, width)] for split, (a, b) in strips.items()
    }
    _check_known({split: [marks[a:c, b:d]] for split, [(a, b, c, d)] in regions.items()}, mask)
    part = _maps([pixels], [marks], border_weight)
    return _windowed(Path(path).stem, dict.fromkeys(strips, part), regions, table.names, window, crops, seed)


def holds_pairs(path: str | Path) -> bool:
    """Whether a folder is laid out for `pairs`."""
    root = Path(path).expanduser()
    return any((root / part / "images").is_dir() and (root / part / "masks").is_dir() for part in ("", "train"))


def match_stems(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Files of two folders that share a stem, sorted.

    Raises:
      ValueError: a folder is missing or empty, or files have no partner or two; they are named.
    """
    found = []
    for place in (images, masks):
        if not place.is_dir():
            raise ValueError(f"{place} is no folder; images and masks lie in two folders, paired by their names")
        files = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES]
        by_stem = {file.stem: file for file in files}
        if len(by_stem) < len(files):
            raise ValueError(f"{place} has files of one name and several suffixes; keep one of each")
        found.append(by_stem)
    alone = [str(f) for a, b in (found, found[::-1]) for stem, f in a.items() if stem not in b]
    if alone:
        shown = ", ".join(alone[:20]) + (f" and {len(alone) - 20} more" if len(alone) > 20 else "")
        raise ValueError(f"files without a partner of the same name in {images} and {masks}: {shown}")
    if not found[0]:
        raise ValueError(f"{images} holds no image; looked for {', '.join(SUFFIXES)}")
    return [(found[0][stem], found[1][stem]) for stem in sorted(found[0])]


def _splits(root: Path, images: str, masks: str) -> dict[str, list[tuple[Path, Path]]]:
    """Pairs by split; all of them are `train` where the folder has no splits."""
    if (root / images).is_dir() or not (root / "train").is_dir():
        return {"train": match_stems(root / images, root / masks)}
    parts = {split: root / name for name, split in SPLITS.items() if (root / name / images).is_dir()}
    return {split: match_stems(place / images, place / masks) for split, place in parts.items()}


def _annotated(path: Path, mask: Path, content: str | None, names: tuple[str, ...], channels: int):
    """A sheet's pixels and classes, -1 beyond its content, and what these mean."""
    explained = mask.with_name(CLASSES)
    table = read_classes(explained) if explained.is_file() else None
    codes = read_codes(mask, coloured=table is not None and table.coloured)
    table = table or guess_classes({str(mask): distinct(codes)}, names)
    pixels, marks = _pair(path, mask, codes, table, "auto", channels)
    if content is not None:
        inside = read_codes(content, coloured=True)  # whatever is not black
        if inside.shape != marks.shape:
            raise ValueError(f"{content} has {inside.shape} pixels, {mask} has {marks.shape}; they must be of one size")
        marks = np.where(inside > 0, marks, -1).astype(np.int32)
    return pixels, marks, table


def _check_windows(window: int | None, crops: int) -> None:
    at_least("crops", crops, 1)
    if window is not None:
        at_least("window", window, 1)


def _check_known(masks: Mapping[str, Sequence[np.ndarray]], where: str | Path) -> None:
    """Raises `ValueError` where nothing can be learnt from, and warns where a split has nothing to be measured on."""
    for split, listed in masks.items():
        if any((mask >= 0).any() for mask in listed):
            continue
        told = f"every pixel of the {split} split's masks in {where} is ignored"
        if split == "train":
            raise ValueError(f"{told}: nothing is left to learn from; see which values mean ignore, 255 or {CLASSES}'s")
        warnings.warn(f"{told}: what is measured there is no number", stacklevel=3)


def _pair(image: Path, mask: Path, codes: np.ndarray, table: ClassTable, size, channels: int):
    """One image uint8 `[H, W, C]` and its mask int32 `[H, W]`."""
    own, _ = read_header(image)
    if own != codes.shape:
        raise ValueError(f"{image} has {own[0]}x{own[1]} pixels, its mask {mask} {codes.shape[0]}x{codes.shape[1]}")
    wanted = own if size == "auto" else (size, size) if isinstance(size, int) else tuple(size)
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(wanted, own, strict=True))
    nearest = np.ix_(rows, columns)
    pixels, classes = read_pixels(image, size=wanted, channels=channels), to_classes(codes, table, str(mask))[nearest]
    if (known := known_pixels(image)) is not None:
        pixels, classes = pixels * known[nearest][..., None], np.where(known[nearest], classes, -1).astype(np.int32)
    return pixels, classes


def _maps(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], border_weight: float) -> Columns:
    """Columns `image`, `mask` and, where borders count more, `pixel_weight`."""
    columns = {"image": _objects(images), "mask": _objects(masks)}
    if border_weight:
        columns["pixel_weight"] = _objects([border_weights(mask, height=border_weight) for mask in masks])
    return columns


def _objects(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """A list of arrays of any shapes as a column that can be indexed."""
    out = np.empty(len(arrays), object)
    for i, array in enumerate(arrays):
        out[i] = array
    return out


def _windowed(
    name: str, parts, regions, classes, window: int, crops: int, seed: int, *, resized: bool = False
) -> Dataset:
    size, splits = (window, window), {}
    for split, part in parts.items():
        pictures = {name: list(column) for name, column in part.items()}
        if split != "train":
            splits[split] = windows(pictures, tiled_places(regions[split], size), size, once=True)
            continue
        draw = functools.partial(_draw, regions[split], size, crops, pictures["mask"], seed)
        splits[split] = Crops(windows(pictures, draw(seed, 0), size).columns, draw)
    return _dataset(name, splits, classes, resized=resized)


def _draw(
    regions: Sequence[Region], size: tuple[int, int], crops: int, masks, data_seed: int, seed: int, epoch: int
) -> Places:
    return drawn_places(regions, size, crops, seed=(data_seed, seed, epoch), masks=masks)


def _dataset(name: str, splits: dict[str, Examples], classes: tuple[str, ...], *, resized: bool) -> Dataset:
    images = splits["train"].column("image")
    mean, std = statistics(images, sample=_MEASURED)
    spec = InputSpec(images.shape[1:3], images.shape[3], mean, std, classes, resized=resized)
    return Dataset(name, spec, {split: splits[split] for split in ("train", "validation", "test")})
