"""Datasets of photos with boxes from TFDS records, whose relative boxes become pixels."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.data.annotations import Objects
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.ragged import take_rows
from cnnlab.data.sources.detection_folder import box_columns
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import set_aside
from cnnlab.files.images import decode_header

MARKS = ("is_difficult", "is_crowd", "area")  # optional properties of an object in TFDS's sets
REACH = 2  # limit of relative coordinates: a box may leave its photo a little, but coordinates in pixels exceed this


class PhotoObjects(NamedTuple):
    """The size and the objects of one record's photo.

    Attributes:
      size: height and width of the photo in pixels.
      objects: `bbox` `[m, 4]`, relative; `label` `[m]`; and those of the `MARKS` that the record has.
    """

    size: tuple[int, int]
    objects: dict[str, np.ndarray]


def photo_objects(encoded: bytes, objects: Mapping[str, list]) -> PhotoObjects:
    """Extracts the size and the objects of a record's photo, without the parts that are not used."""
    parts = {name: np.array(objects[name]) for name in ("label", *MARKS) if name in objects}
    return PhotoObjects(
        decode_header(encoded)[0], {"bbox": np.array(objects["bbox"], np.float64).reshape(-1, 4)} | parts
    )


def class_names(feature: Any, where: str) -> tuple[str, ...]:
    """Returns the class names of a sequence of objects.

    Args:
      feature: TFDS's feature of the sequence.
      where: name of the feature in messages.

    Raises:
      ValueError: its objects lack a relative `bbox` or a `label` with named classes.
    """
    from tensorflow_datasets import features

    parts = dict(feature.feature.items()) if isinstance(feature.feature, features.FeaturesDict) else {}
    if missing := {"bbox", "label"} - set(parts):
        raise ValueError(
            f"{where} has no {' and no '.join(sorted(missing))}; it has {', '.join(sorted(parts)) or 'no parts'}: name "
            "another feature by --data.label or --data.objects"
        )
    box, label = parts["bbox"], parts["label"]
    # Sets from before TFDS had several box formats state none, but all use this one.
    if not isinstance(box, features.BBoxFeature) or getattr(box.bbox_format, "value", "REL_YXYX") != "REL_YXYX":
        raise ValueError(
            f"bbox of {where} must be a BBoxFeature of relative ymin, xmin, ymax, xmax (REL_YXYX), found "
            f"{getattr(box, 'bbox_format', box)}; prepare the set again with such boxes"
        )
    if not isinstance(label, features.ClassLabel) or not label.num_classes:
        raise ValueError(f"label of {where} must be a ClassLabel with classes, found {label}; prepare the set again so")
    return tuple(label.names)


def boxes_dataset(
    photos: Mapping[str, tuple[np.ndarray, list[PhotoObjects]]],
    spec: InputSpec,
    name: str,
    *,
    difficult: bool,
    shares: dict[str, float],
    seed: int,
) -> Dataset:
    """Builds the dataset of letterboxed photos; a split without any object counts as not annotated, and so as missing.

    Args:
      photos: letterboxed images and their objects, of `train` and the other splits of the set.
      spec: input specification without normalisation, which is measured here.
      name: name of the set.
      difficult: whether to learn objects that are marked as difficult.
      shares: share of each split that is set aside from `train` if it is missing.
      seed: seed of the split.

    Raises:
      ValueError: a box or class is not valid, or `train` has no object.
    """
    bare = [
        split for split, (_, records) in photos.items() if not any(len(record.objects["label"]) for record in records)
    ]
    if "train" in bare:
        raise ValueError(
            f"no photo of {name}'s split 'train' has an object, so there is no class to learn; check the set"
        )
    if bare:
        message = f"no photo of {name}'s split {' or '.join(bare)} has an object; photos of train are set aside instead"
        warnings.warn(message, stacklevel=3)
    photos = {split: photos[split] for split in photos if split not in bare}
    objects = [
        _objects(record, spec.classes, f"{name} {split}[{i}]")
        for split, (_, records) in photos.items()
        for i, record in enumerate(records)
    ]
    columns = box_columns(objects, spec.classes, name, spec.size, spec.fit, difficult, {})
    tables, start = {}, 0
    for split, (pixels, records) in photos.items():
        stop = start + len(records)
        tables[split] = {"image": pixels} | take_rows(columns, slice(start, stop))
        start = stop
    tables = set_aside(tables, shares, seed)
    mean, std = statistics(tables["train"]["image"])
    spec = dataclasses.replace(spec, mean=mean, std=std)
    return Dataset(name, spec, {split: Examples(table) for split, table in tables.items()})


def _objects(photo: PhotoObjects, names: tuple[str, ...], source: str) -> Objects:
    """Returns the objects of one photo with boxes in its pixels."""
    relative, label = photo.objects["bbox"], photo.objects["label"]
    if not (np.abs(relative) <= REACH).all():
        raise ValueError(
            f"bbox of {source} must be relative to the photo, 0..1, found {relative.tolist()}; prepare the set again so"
        )
    if not ((label >= 0) & (label < len(names))).all():
        raise ValueError(
            f"label of {source} must lie in 0..{len(names) - 1}, found {label.tolist()}; prepare the set again without "
            "such objects"
        )
    height, width = photo.size
    boxes = relative[:, [1, 0, 3, 2]] * (width, height, width, height)
    difficult, crowd, area = (photo.objects.get(mark) for mark in MARKS)
    classes = tuple(names[k] for k in label)
    return Objects(Path(source), photo.size, boxes, classes, source, difficult=difficult, crowd=crowd, area=area)
