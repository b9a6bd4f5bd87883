"""Datasets that TFDS has prepared, read without TensorFlow: images with one class each, or photos with boxes."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnnlab.data.dataset import Dataset, from_arrays
from cnnlab.data.sources.detection_folder import check_size_and_shares
from cnnlab.data.sources.tfds_directory import advice, damaged, find_data_dir, find_prepared
from cnnlab.data.sources.tfds_objects import boxes_dataset, class_names, photo_objects
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import split_columns
from cnnlab.data.targets import SPLITS
from cnnlab.files.images import decode_pixels

AUTO_SIDE = 64  # side in pixels of images with one class each
AUTO_SIDE_BOXES = 416  # side in pixels of photos with boxes, as in `boxes`


def tfds(
    set: str,
    *,
    data_dir: str | None = None,
    image: str = "image",
    label: str = "label",
    objects: str = "objects",
    difficult: bool = True,
    size: Literal["auto"] | int | tuple[int, int] = "auto",
    channels: int = 3,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    memory_megabytes: int = 4000,
) -> Dataset:
    """Loads a set that TFDS prepared as array_record into memory: images with one class each, or photos with boxes.

    Boxes are read if the set has no feature `label`, or if `--data.label` names a sequence. Photos are then letterboxed
    and treated as in `boxes`. A split without any object, such as the test photos of VOC 2012, counts as missing. A
    photo with an EXIF orientation is turned upright; its boxes are read as those of the upright photo.

    Args:
      set: name of the set in TFDS, `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`; the newest version if it names none.
      data_dir: directory of prepared sets; TFDS's default if left out.
      image: name of the feature with the encoded image.
      label: name of the feature with the class.
      objects: name of the feature with the objects, if there is no feature with the class: a sequence of `bbox` and
        `label`, optionally with `is_difficult`, `is_crowd` and `area`.
      difficult: whether to learn objects that are marked as difficult.
      size: height and width in pixels, or one number for a square; every whole image is resized to it. `auto` is 64, or
        416 with boxes.
      channels: 1 for grey, 3 for RGB.
      validation: share of the training images in the validation split, if the set has no such split.
      test: share of the training images in the test split, if the set has no such split.
      seed: seed of the split.
      memory_megabytes: largest decoded size of the set in MB; a larger set is refused.

    Raises:
      ValueError: the set is not prepared there, is damaged, is stored in another format, or lacks these features.
    """
    path, builder = _open(set, find_data_dir(data_dir))
    import tensorflow_datasets

    features = builder.info.features
    for candidates in ((image,), (label, objects) if label == "label" else (label,)):
        if not any(name in features for name in candidates):
            raise ValueError(
                f"{set} has no feature {' or '.join(map(repr, candidates))}; it has {', '.join(sorted(features))}: set "
                "--data.image, --data.label or --data.objects"
            )
    label = label if label in features else objects
    with_boxes = isinstance(features[label], tensorflow_datasets.features.Sequence)
    if size == "auto":
        size = AUTO_SIDE_BOXES if with_boxes else AUTO_SIDE
    height, width = size = (size, size) if isinstance(size, int) else tuple(size)
    n = sum(part.num_examples for part in builder.info.splits.values())
    if n * height * width * channels > memory_megabytes * 1_000_000:
        raise ValueError(
            f"{set} has {n:,} examples, more than {memory_megabytes} MB at {height}x{width}x{channels}; lower "
            "--data.size or raise --data.memory-megabytes"
        )
    known = {SPLITS[split]: split for split in builder.info.splits if split in SPLITS}
    if "train" not in known:
        raise ValueError(f"{set} has no split 'train'; it has {', '.join(builder.info.splits)}")
    read = functools.partial(_read, builder, path, image)
    if with_boxes:
        check_size_and_shares(size, validation, test)
        classes = class_names(features[label], f"the feature {label!r} of {set}")
        spec = InputSpec(size, channels, classes=classes, fit="letterbox")
        photos = {
            split: read(stored_split, spec, lambda record: photo_objects(record[image], record[label]))
            for split, stored_split in known.items()
        }
        shares = {"validation": validation, "test": test}
        return boxes_dataset(photos, spec, set, difficult=difficult, shares=shares, seed=seed)
    splits = {}
    for split, stored_split in known.items():
        pixels, labels = read(stored_split, InputSpec(size, channels), lambda record: record[label])
        splits[split] = {"image": pixels, "label": np.array(labels, np.int32)}
    if "test" not in splits:
        splits |= split_columns(splits["train"], {"train": 1 - test, "test": test}, seed=seed)
    names = getattr(features[label], "names", None)
    return from_arrays(splits, classes=tuple(names or ()), name=set, validation=validation, seed=seed)


def _open(name: str, root: Path) -> tuple[Path, Any]:
    """Returns the directory of a prepared set and its builder."""
    path = find_prepared(name, root)
    if path is None:
        raise ValueError(f"{name} is not prepared in {root}. {advice(name, root)}")
    import tensorflow_datasets

    with damaged(path):
        builder = tensorflow_datasets.builder_from_directory(path)
    stored = builder.info.file_format.value
    if stored != "array_record":
        raise ValueError(
            f"{path} is stored as {stored}, which needs TensorFlow to be read; prepare it again with "
            "file_format='array_record'"
        )
    return path, builder


def _read(
    builder, path: Path, image: str, split: str, spec: InputSpec, annotation: Callable[[dict], Any]
) -> tuple[np.ndarray, list]:
    """Reads the images of a split, and the annotation of each of its records."""
    import tensorflow_datasets

    options = {"size": spec.size, "channels": spec.channels, "fit": spec.fit}
    with damaged(path):
        # Images stay encoded, because TFDS would decode them with TensorFlow.
        source = builder.as_data_source(split, decoders={image: tensorflow_datasets.decode.SkipDecoding()})
        n = len(source)
        pixels, annotations = np.empty((n, *spec.shape), np.uint8), []
        for start in range(0, n, 1000):
            places = range(start, min(start + 1000, n))
            for place, record in zip(places, source.__getitems__(list(places)), strict=True):
                pixels[place] = decode_pixels(record[image], **options, name=f"{split}[{place}]")
                annotations.append(annotation(record))
    return pixels, annotations
