"""Folders of images with a mask each as datasets."""

from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations import list_masks
from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.masks import CLASSES, distinct, guess_classes, read_classes, read_codes
from cnnlab.data.sources.annotated import (
    annotated_image,
    check_known,
    check_windows,
    map_columns,
    whole_dataset,
    windowed_dataset,
)
from cnnlab.data.splits import split_columns
from cnnlab.files.tiff import check_bands


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

    Or Pascal VOC's: `DIR/JPEGImages` and `DIR/SegmentationClass`, split by the lists in `DIR/ImageSets/Segmentation`.

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
    check_windows(window, crops)
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with images and masks")
    found = list_masks(root, images, masks)
    if "train" not in found:
        raise ValueError(f"no image of {root} is of the split 'train'; the splits are {', '.join(found) or 'empty'}")
    check_bands([image for listed in found.values() for image, _ in listed])
    table = read_classes(root / CLASSES) if (root / CLASSES).is_file() else None
    codes = {split: [read_codes(mask, table) for _, mask in listed] for split, listed in found.items()}
    if table is None:
        files = [str(mask) for listed in found.values() for _, mask in listed]
        read = [one for listed in codes.values() for one in listed]
        table = guess_classes(dict(zip(files, map(distinct, read), strict=True)), classes)
    parts, resized = {}, False
    for split, listed in found.items():
        own = codes.pop(split)
        read = [annotated_image(*pair, one, table, size, channels) for pair, one in zip(listed, own, strict=True)]
        resized |= any(one.shape != mask.shape for one, (_, mask) in zip(own, read, strict=True))
        parts[split] = map_columns(*zip(*read, strict=True), border_weight)
    missing = {split: share for split, share in (("validation", validation), ("test", test)) if split not in parts}
    if missing:
        parts |= split_columns(parts.pop("train"), {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    name = root.resolve().name
    check_known({split: part["mask"] for split, part in parts.items()}, root)
    if window is not None:
        regions = {split: [(0, 0, *one.shape) for one in part["mask"]] for split, part in parts.items()}
        return windowed_dataset(name, parts, regions, table.names, window, crops, seed, resized=resized)
    sizes = sorted({one.shape for part in parts.values() for one in part["mask"]})
    if len(sizes) > 1:
        raise ValueError(f"the images of {root} have sizes from {sizes[0]} to {sizes[-1]}; set size or window")
    splits = {split: Examples({name: np.stack(part[name]) for name in part}) for split, part in parts.items()}
    return whole_dataset(name, splits, table.names, resized=resized)
