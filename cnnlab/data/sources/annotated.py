"""Datasets of images with masks, whole or cut into windows: the code that `pairs` and `sheet` share."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cnnlab.data.annotations.drawing import nearest
from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.masks import CLASSES, ClassTable, to_classes
from cnnlab.data.spec import InputSpec
from cnnlab.data.windows import Crops, Places, Region, drawn_places, tiled_places, windows
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.nodata import known_pixels
from cnnlab.losses import border_weights
from cnnlab.ops.arithmetic import at_least

_STATISTICS_IMAGES = 4096  # training images that are sampled for the mean and standard deviation


def check_windows(window: int | None, crops: int) -> None:
    """Raises `ValueError` unless the number of crops and the side of the windows, if there is one, are 1 or more."""
    at_least("crops", crops, 1)
    if window is not None:
        at_least("window", window, 1)


def check_known(masks: Mapping[str, Sequence[np.ndarray]], where: str | Path) -> None:
    """Raises `ValueError` if every pixel of the training masks is ignored, and warns if that is so in another split."""
    for split, split_masks in masks.items():
        if any((mask >= 0).any() for mask in split_masks):
            continue
        message = f"every pixel of the {split} split's masks in {where} is ignored"
        if split == "train":
            raise ValueError(
                f"{message}: nothing is left to learn from; check which values mean ignore: 255, or those in {CLASSES}"
            )
        warnings.warn(f"{message}: its metrics will be NaN", stacklevel=3)


def annotated_image(image: Path, mask: Path, codes: np.ndarray, table: ClassTable, size, channels: int):
    """Reads an image uint8 `[H, W, C]` and its mask int32 `[H, W]`, resized unless `size` is `auto`."""
    own, _ = read_header(image)
    if own != codes.shape:
        raise ValueError(f"{image} has {own[0]}x{own[1]} pixels, its mask {mask} {codes.shape[0]}x{codes.shape[1]}")
    target = own if size == "auto" else (size, size) if isinstance(size, int) else tuple(size)
    mesh = nearest(own, target)
    pixels, classes = read_pixels(image, size=target, channels=channels), to_classes(codes, table, str(mask))[mesh]
    if (known := known_pixels(image)) is not None:
        pixels, classes = pixels * known[mesh][..., None], np.where(known[mesh], classes, -1).astype(np.int32)
    return pixels, classes


def map_columns(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], border_weight: float) -> Columns:
    """Builds the columns `image`, `mask` and, if `border_weight` is not 0, `pixel_weight`."""
    columns = {"image": _objects(images), "mask": _objects(masks)}
    if border_weight:
        columns["pixel_weight"] = _objects([border_weights(mask, height=border_weight) for mask in masks])
    return columns


def _objects(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Packs arrays of any shapes into one column that can be indexed."""
    out = np.empty(len(arrays), object)
    for i, array in enumerate(arrays):
        out[i] = array
    return out


def windowed_dataset(
    name: str, parts, regions, classes, window: int, crops: int, seed: int, *, resized: bool = False
) -> Dataset:
    """Builds a dataset of windows: `train` draws `crops` of them anew in each epoch, other splits are tiled once."""
    size, splits = (window, window), {}
    for split, part in parts.items():
        images = {name: list(column) for name, column in part.items()}
        if split != "train":
            splits[split] = windows(images, tiled_places(regions[split], size), size, once=True)
            continue
        draw = functools.partial(_draw, regions[split], size, crops, images["mask"], seed)
        splits[split] = Crops(windows(images, draw(seed, 0), size).columns, draw)
    return whole_dataset(name, splits, classes, resized=resized)


def _draw(
    regions: Sequence[Region], size: tuple[int, int], crops: int, masks, data_seed: int, seed: int, epoch: int
) -> Places:
    """Draws the positions of an epoch's windows; the seed of the data and the seed of training both decide."""
    return drawn_places(regions, size, crops, seed=(data_seed, seed, epoch), masks=masks)


def whole_dataset(name: str, splits: dict[str, Examples], classes: tuple[str, ...], *, resized: bool) -> Dataset:
    """Builds a dataset from its splits, normalised by the mean and standard deviation of the training images."""
    images = splits["train"].column("image")
    mean, std = statistics(images, sample=_STATISTICS_IMAGES)
    spec = InputSpec(images.shape[1:3], images.shape[3], mean, std, classes, resized=resized)
    return Dataset(name, spec, {split: splits[split] for split in ("train", "validation", "test")})
