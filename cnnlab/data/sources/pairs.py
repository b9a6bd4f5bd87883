"""Datasets from folders of images with one mask each."""

from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations import list_masks, mask_table
from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.groups import groups_of, without_groups
from cnnlab.data.masks import distinct, guess_classes, read_codes
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
    images: str | None = None,
    masks: str | None = None,
    classes: tuple[str, ...] = (),
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    window: int | None = None,
    crops: int = 1000,
    channels: Literal[1, 3] = 3,
    border_weight: float = 0.0,
    validation: float = 0.1,
    test: float = 0.2,
    group: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Reads images with masks of the same stem: `DIR/images/a.jpg` and `DIR/masks/a.png`, also in `DIR/<split>`.

    The folder of masks may also be called `gt`, `labels`, `annotations` or `ground_truth`; a mask may also lie beside
    its image as `a_mask.png`, or in `trainannot` beside `train`. Pascal VOC's `SegmentationClass`, CVAT's masks with
    `labelmap.txt` and Cityscapes' `*_labelIds.png` are read too.

    Masks hold values, palette indices, or colours. `DIR/classes.csv` gives their classes (`class,value` or
    `class,colour`); pixels of its class `ignore` are ignored. Without this file, 0 and 255 alone mean no and yes;
    otherwise the classes are 0, 1, ... without a gap, and 255 is ignored. Where a TIFF image has no data (its nodata
    value in every band, or alpha of 0), the mask is ignored and the image black, as in the prediction of sheets.

    Args:
      path: the folder.
      images: name of the folder of images; by default one of the usual names.
      masks: name of the folder of masks; by default one of the usual names.
      classes: names of the classes, if there is no `classes.csv`.
      size: height and width in pixels to which images and masks are resized, masks by the nearest pixel. With `auto`
        all keep their size, which must be the same for all unless there is a `window`.
      window: side of square windows in pixels; training draws `crops` of them, and the other splits are tiled with
        them.
      crops: number of training windows per epoch. Each epoch draws others, which depend only on the seeds and the
        epoch.
      channels: 1 for grey, 3 for RGB.
      border_weight: additional weight of a pixel of the first class in a gap between shapes of the others: U-Net's w_0
        (there 10), the height of `losses.border_weights`; 0 weighs all pixels alike.
      validation: share of all pairs in the validation split, if the folder has no such split.
      test: share of all pairs in the test split, if the folder has no such split.
      group: as in `boxes`.
      seed: seed of the split and of the crops.

    Raises:
      ValueError: an image has no mask or a mask no image (the message names all of them), sizes differ, a value of a
        mask belongs to no class or the classes cannot be guessed from the values, a TIFF has another number of bands
        than the others, or a file cannot be read.
    """
    check_windows(window, crops)
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with images and masks")
    files_of = list_masks(root, images, masks)
    if "train" not in files_of:
        raise ValueError(f"no image of {root} is in the split 'train'; the splits are {', '.join(files_of) or 'empty'}")
    check_bands([image for listed in files_of.values() for image, _ in listed])
    table = mask_table(root, images, masks)
    codes = {split: [read_codes(mask, table) for _, mask in listed] for split, listed in files_of.items()}
    if table is None:
        files = [str(mask) for listed in files_of.values() for _, mask in listed]
        read = [mask_codes for listed in codes.values() for mask_codes in listed]
        table = guess_classes(dict(zip(files, map(distinct, read), strict=True)), classes)
    parts, resized = {}, False
    for split, listed in files_of.items():
        own = codes.pop(split)
        read = [
            annotated_image(*pair, mask_codes, table, size, channels)
            for pair, mask_codes in zip(listed, own, strict=True)
        ]
        resized |= any(mask_codes.shape != mask.shape for mask_codes, (_, mask) in zip(own, read, strict=True))
        parts[split] = map_columns(*zip(*read, strict=True), border_weight)
        if group is not None:
            parts[split]["group"] = groups_of([image.relative_to(root).as_posix() for image, _ in listed], group)
    missing = {split: share for split, share in (("validation", validation), ("test", test)) if split not in parts}
    if missing:
        parts |= split_columns(parts.pop("train"), {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    parts = without_groups(parts)
    name = root.resolve().name
    check_known({split: part["mask"] for split, part in parts.items()}, root)
    if window is not None:
        regions = {split: [(0, 0, *mask.shape) for mask in part["mask"]] for split, part in parts.items()}
        return windowed_dataset(name, parts, regions, table.names, window, crops, seed, resized=resized)
    sizes = sorted({mask.shape for part in parts.values() for mask in part["mask"]})
    if len(sizes) > 1:
        raise ValueError(f"the images of {root} have sizes from {sizes[0]} to {sizes[-1]}; set size or window")
    splits = {split: Examples({name: np.stack(part[name]) for name in part}) for split, part in parts.items()}
    return whole_dataset(name, splits, table.names, resized=resized)
