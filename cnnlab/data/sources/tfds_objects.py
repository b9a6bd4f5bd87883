"""Photos with boxes out of TFDS records: relative boxes become pixels, and then count as those of any folder."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.data.annotations import Objects
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.sources.detection_folder import box_columns
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import set_aside
from cnnlab.files.images import decode_header

MARKS = ("is_difficult", "is_crowd", "area")  # what TFDS's sets may say of an object besides
REACH = 2  # a relative box may reach out of its photo a little; one in pixels lies hundreds of photos away


class PhotoObjects(NamedTuple):
    """What a record says of its photo.

    Attributes:
      size: its height and width in pixels.
      objects: `bbox` `[m, 4]`, relative; `label` `[m]`; and the marks that there are.
    """

    size: tuple[int, int]
    objects: dict[str, np.ndarray]


def photo_objects(encoded: bytes, objects: Mapping[str, list]) -> PhotoObjects:
    """The same for one record's photo and objects; of them no more than is used."""
    parts = {name: np.array(objects[name]) for name in ("label", *MARKS) if name in objects}
    return PhotoObjects(
        decode_header(encoded)[0], {"bbox": np.array(objects["bbox"], np.float64).reshape(-1, 4)} | parts
    )


def class_names(feature: Any, where: str) -> tuple[str, ...]:
    """The classes of a sequence of objects.

    Args:
      feature: TFDS's sequence.
      where: what errors call it.

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
    # Sets prepared before TFDS knew several formats say none; all were this one.
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
    """The dataset; a split without any object is taken for one that nobody annotated, and so for a missing one.

    Args:
      photos: letterboxed images and what was found in each, of `train` and the splits that there are.
      spec: of the images; its normalisation is measured here.
      name: of the set.
      difficult: learn objects that are marked as difficult.
      shares: of the splits that are set aside from `train` where they are missing.
      seed: of the split.

    Raises:
      ValueError: a box or class is none, or `train` has no object.
    """
    bare = [split for split, (_, found) in photos.items() if not any(len(one.objects["label"]) for one in found)]
    if "train" in bare:
        raise ValueError(
            f"no photo of {name}'s split 'train' has an object, so there is no class to learn; check the set"
        )
    if bare:
        told = f"no photo of {name}'s split {' or '.join(bare)} has an object; photos of train are set aside instead"
        warnings.warn(told, stacklevel=3)
    photos = {split: photos[split] for split in photos if split not in bare}
    objects = [
        _objects(one, spec.classes, f"{name} {split}[{i}]")
        for split, (_, found) in photos.items()
        for i, one in enumerate(found)
    ]
    columns = box_columns(objects, spec.classes, name, spec.size, spec.fit, difficult, {})
    tables, start = {}, 0
    for split, (pixels, found) in photos.items():
        stop = start + len(found)
        tables[split] = {"image": pixels} | {key: column[start:stop] for key, column in columns.items()}
        start = stop
    tables = set_aside(tables, shares, seed)
    mean, std = statistics(tables["train"]["image"])
    spec = dataclasses.replace(spec, mean=mean, std=std)
    return Dataset(name, spec, {split: Examples(table) for split, table in tables.items()})


def _objects(found: PhotoObjects, names: tuple[str, ...], source: str) -> Objects:
    """The objects of one photo with boxes in its pixels."""
    relative, label = found.objects["bbox"], found.objects["label"]
    if not (np.abs(relative) <= REACH).all():
        raise ValueError(
            f"bbox of {source} must be relative to the photo, 0..1, found {relative.tolist()}; prepare the set again so"
        )
    if not ((label >= 0) & (label < len(names))).all():
        raise ValueError(
            f"label of {source} must lie in 0..{len(names) - 1}, found {label.tolist()}; prepare the set again without "
            "such objects"
        )
    height, width = found.size
    boxes = relative[:, [1, 0, 3, 2]] * (width, height, width, height)
    difficult, crowd, area = (found.objects.get(mark) for mark in MARKS)
    classes = tuple(names[k] for k in label)
    return Objects(Path(source), found.size, boxes, classes, source, difficult=difficult, crowd=crowd, area=area)
