"""Datasets from folders of photos with the outlines of their objects, drawn as masks."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations import Objects, class_table, notes_on, read_annotations
from cnnlab.data.annotations.drawing import DrawnMasks, mask_classes, without_outline
from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.groups import groups_of
from cnnlab.data.sources.annotated import check_known, check_windows, map_columns, whole_dataset, windowed_dataset
from cnnlab.data.sources.detection_folder import photo_names, split_photos
from cnnlab.data.streaming import ImageFiles
from cnnlab.ops.arithmetic import at_least


def outlines(
    path: str,
    *,
    format: str | None = None,
    annotations: str | None = None,
    photos: str | None = None,
    label: str | None = None,
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    window: int | None = None,
    crops: int = 1000,
    channels: Literal[1, 3] = 3,
    order: Literal["size", "file"] = "size",
    border: int = 0,
    line_width: float = 10,
    border_weight: float = 0.0,
    validation: float = 0.1,
    test: float = 0.2,
    group: str | None = None,
    seed: int = 0,
    memory_megabytes: int = 1000,
) -> Dataset:
    """Reads a folder of photos with the outlines of their objects, as annotation tools write it, and draws the masks.

    The folder is in one of the formats of `boxes` that has outlines: polygons, run lengths, circles or lines. Class 0
    is `background`. Crowds are ignored. `cnnlab.data.annotations.drawing` states the rule of the masks.

    Args:
      path: the folder.
      format: name of the format, where the folder holds several.
      annotations: name of the folder of annotations (or of the one file) within it, if it differs from the layout's.
      photos: name of the folder of photos within it, if it differs from the layout's.
      label: name of the attribute or column that holds the class, where the format leaves it open.
      size: height and width in pixels to which photos and masks are resized. With `auto` all keep their size, which
        must be the same for all unless there is a `window`.
      window: side of square windows in pixels, as in `pairs`.
      crops: number of training windows per epoch.
      channels: 1 for grey, 3 for RGB.
      order: which of two objects that overlap lies on top: the smaller one (`size`), or the later one in the file.
      border: width in pixels within which two objects make the class `border`; 0 for none.
      line_width: width in pixels of lines.
      border_weight: as in `pairs`.
      validation: share of all photos in the validation split, if the folder has no such split.
      test: share of all photos in the test split, if the folder has no such split.
      group: as in `boxes`.
      seed: seed of the split and of the crops.
      memory_megabytes: largest size of photos and masks that are kept in memory, in MB. Of a larger set the photos are
        decoded and the masks are drawn batch by batch.

    Raises:
      ValueError: no object has an outline, photos differ in size and neither `size` nor `window` is set, or an
        annotation or photo is wrong.
    """
    check_windows(window, crops)
    at_least("border", border, 0)
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with annotated photos")
    records = read_annotations(
        root, format=format, annotations=annotations, photos=photos, label=label, line_width=line_width
    )
    counts = without_outline(records.objects)
    if not counts["outlines"]:
        raise ValueError(
            f"the objects of {root} have boxes and no outlines, so there is no mask to learn; train "
            "--task.name detection, or export polygons or masks"
        )
    notes = notes_on(records)
    if counts["boxes"]:
        notes.append(f"{counts['boxes']:,} objects have a box and no outline, left out")
    if notes:
        warnings.warn(f"masks of {root}: {'; '.join(notes)}", stacklevel=2)
    classes = mask_classes(class_table(records.objects, records.classes), border)
    drawing = {"order": order, "border": border}
    columns = {"image": _column(records.objects)}
    if group is not None:
        columns["group"] = groups_of(photo_names(records.objects, root), group)
    tables = split_photos(columns, records.split, {"validation": validation, "test": test}, seed)
    parts: dict[str, list[Objects]] = {split: list(table["image"]) for split, table in tables.items()}
    own = {photo.size for photo in records.objects}
    if window is None and size == "auto" and len(own) > 1:
        raise ValueError(f"the photos of {root} have sizes from {min(own)} to {max(own)}; set size or window")
    target = None if size == "auto" else (size, size) if isinstance(size, int) else tuple(size)
    name = root.resolve().name
    if window is not None or border_weight:
        columns = {
            split: _read(root, listed, classes, target, channels, drawing, border_weight)
            for split, listed in parts.items()
        }
        check_known({split: part["mask"] for split, part in columns.items()}, root)
        if window is not None:
            regions = {split: [(0, 0, *mask.shape) for mask in part["mask"]] for split, part in columns.items()}
            return windowed_dataset(name, columns, regions, classes, window, crops, seed, resized=target is not None)
        splits = {split: Examples({key: np.stack(part[key]) for key in part}) for split, part in columns.items()}
        return whole_dataset(name, splits, classes, resized=target is not None)
    target = target or next(iter(own))
    in_memory = len(records.objects) * target[0] * target[1] * (channels + 4) <= memory_megabytes * 1_000_000
    splits = {}
    for split, chosen in parts.items():
        files = ImageFiles(root, photo_names(chosen, root), target, channels)
        masks = DrawnMasks(chosen, classes, target, **drawing)
        splits[split] = Examples(
            {"image": files[:], "mask": masks[:]} if in_memory else {"image": files, "mask": masks}
        )
    return whole_dataset(name, splits, classes, resized=own != {target})


def _column(objects: list[Objects]) -> np.ndarray:
    """Returns the photos as a column that can be split."""
    out = np.empty(len(objects), object)
    for i, photo in enumerate(objects):
        if photo.size is None:
            raise ValueError(f"cannot read {photo.photo} as an image; repair or remove it and its annotation")
        out[i] = photo
    return out


def _read(root: Path, photos: list[Objects], classes, target, channels: int, drawing: dict, border_weight: float):
    """Reads photos and masks of different sizes, or resized ones, into columns."""
    images, masks = [], []
    for photo in photos:
        files = ImageFiles(root, photo_names([photo], root), target or photo.size, channels)
        images.append(files[0])
        masks.append(DrawnMasks([photo], classes, target, **drawing)[0])
    return map_columns(images, masks, border_weight)
