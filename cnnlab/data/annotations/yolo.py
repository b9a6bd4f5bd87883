"""YOLO's text files: one a photo, one line an object: class, then centre, width and height relative to the photo."""

import math
from pathlib import Path

import numpy as np

from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, read_bounded
from cnnlab.data.images import SUFFIXES
from cnnlab.data.targets import SPLITS

MAX_BYTES = 5_000_000
TABLES = ("classes.txt", "obj.names", "classes.names")


def read_yolo(labels: Path, photos: Path, table: Path) -> Annotations:
    """The photos of `photos`, or of `photos/train`, `photos/val` and `photos/test`, with the text files beside them.

    A photo without a text file, or with an empty one, has no objects.

    Args:
      labels: the folder of text files, arranged like the photos.
      photos: the folder of photos.
      table: a text file with one class name a line.

    Raises:
      ValueError: a line does not hold a class of the table and four finite numbers, or a text file has no photo.
    """
    classes = read_table(table)
    splits = {name: split for name, split in SPLITS.items() if (photos / name).is_dir()}
    objects, split = [], []
    for name, part in (splits or {"": None}).items():
        found = sorted(p for p in (photos / name).iterdir() if p.suffix.lower() in SUFFIXES)
        stems = {path.stem for path in found}
        for text in sorted((labels / name).glob("*.txt")) if (labels / name).is_dir() else ():
            if text.stem not in stems and text.name not in TABLES:
                raise ValueError(f"{text} names a photo that is missing in {photos / name}; add it or remove the file")
        objects += [_objects(path, labels / name / f"{path.stem}.txt", classes) for path in found]
        split += [part] * len(found)
    if not objects:
        raise ValueError(f"{photos} holds no image; looked for {', '.join(SUFFIXES)}")
    return Annotations(objects, split if splits else None, classes, {})


def read_table(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in the order of their numbers."""
    names = tuple(line.strip() for line in read_bounded(path, MAX_BYTES).splitlines() if line.strip())
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path} must hold one class a line, each once, found {', '.join(names) or 'nothing'}")
    return names


def _objects(photo: Path, text: Path, classes: tuple[str, ...]) -> Objects:
    photo, size = find_photo(photo.parent, photo.name, str(text))
    height, width = size or (1, 1)
    boxes, names = [], []
    for line, row in enumerate(read_bounded(text, MAX_BYTES).splitlines() if text.is_file() else (), 1):
        if not row.strip():
            continue
        try:
            k, x, y, w, h = map(float, row.split())
        except ValueError:
            k = x = y = w = h = math.nan
        if not all(map(math.isfinite, (k, x, y, w, h))) or k != int(k) or not 0 <= k < len(classes):
            raise ValueError(
                f"{text} line {line}: must be a class 0..{len(classes) - 1} and 4 finite numbers, found {row[:60]!r}"
            )
        boxes.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
        names.append(classes[int(k)])
    return Objects(photo, size, np.array(boxes, np.float64).reshape(-1, 4), tuple(names), str(text))
