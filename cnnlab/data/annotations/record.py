"""Records of the objects that annotation files describe, and the repair of invalid boxes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.errors import unknown
from cnnlab.geometry.outlines import Outline, Polygons, bounds
from cnnlab.quoting import counted


class Objects(NamedTuple):
    """The objects of one photo.

    Attributes:
      photo: path of the photo.
      size: height and width of the upright photo in pixels; None if the file is not an image.
      boxes: `[m, 4]` xyxy in pixels of the photo, continuous coordinates.
      names: class name of each object.
      source: file (and line) of the annotation, for messages.
      difficult: `[m]` bool, whether VOC marks the object as difficult; None if the format has no such mark, as for
        `crowd` and `area`.
      crowd: `[m]` bool, whether COCO marks a region of many objects instead of one object.
      area: `[m]`, COCO's area of the object's outline in square pixels; NaN for an entry without one.
      stated_size: height and width of the photo in pixels as the source states them; None if it states none.
      outlines: outline of each object in pixels of the photo, None for an object without one; None if no object of the
        photo has one.
    """

    photo: Path
    size: tuple[int, int] | None
    boxes: np.ndarray
    names: tuple[str, ...]
    source: str
    difficult: np.ndarray | None = None
    crowd: np.ndarray | None = None
    area: np.ndarray | None = None
    stated_size: tuple[int, int] | None = None
    outlines: tuple[Outline | None, ...] | None = None


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """Returns the size (height, width) that a file states, or None unless both are whole numbers above 0.

    >>> stated_size("480", 640), stated_size(None, 640), stated_size(0, 0)
    ((480, 640), None, None)
    """
    try:
        size = int(str(height)), int(str(width))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def polygons(parts: Iterable[Sequence[float]]) -> Polygons | None:
    """Returns the outline of polygons, each given as x and y in turn; those of fewer than three corners have no area.

    The result is None if no polygon is left.

    >>> polygons([[0, 0, 4, 0, 4, 4], [1, 1, 2, 2]]).parts[0].tolist()
    [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]
    """
    kept = tuple(np.array(part, np.float64).reshape(-1, 2) for part in parts if len(part) >= 6)
    return Polygons(kept) if kept else None


def objects_of(
    photo: Path,
    size: tuple[int, int] | None,
    entries: Sequence[tuple[str, Outline]],
    source: str,
    stated: tuple[int, int] | None = None,
) -> Objects:
    """Returns the objects of a photo from the name and the outline of each; the boxes are tight."""
    names = tuple(name for name, _ in entries)
    outlines = tuple(outline for _, outline in entries)
    boxes = np.array([bounds(outline) for outline in outlines], np.float64).reshape(-1, 4)
    return Objects(photo, size, boxes, names, source, stated_size=stated, outlines=outlines or None)


class Annotations(NamedTuple):
    """The annotations of all photos of a folder.

    Attributes:
      objects: objects of each photo.
      split: split of each photo; None if the folder defines no splits.
      classes: class names in the order of the format's own table; None if it has no table.
      left_out: number of objects that the reader left out, by reason.
    """

    objects: list[Objects]
    split: list[str] | None
    classes: tuple[str, ...] | None
    left_out: dict[str, int]


def notes_on(annotations: Annotations) -> list[str]:
    """Returns sentences on the objects that a reader left out, and on photos of another size than is stated."""
    notes = [f"{number:,} {reason}, left out" for reason, number in annotations.left_out.items() if number]
    photos = [photo for photo in annotations.objects if photo.size is not None]
    if other := [photo for photo in photos if photo.stated_size not in (None, photo.size)]:
        (height, width), (h, w) = other[0].stated_size, other[0].size
        notes.append(
            f"{counted(len(other), 'photo')} of another size than stated in the annotations, such as {other[0].photo} "
            f"with {w}x{h} instead of {width}x{height}: objects may be misplaced"
        )
    return notes


class Mended(NamedTuple):
    """The result of `mend`: the boxes, a mask `[m]` of those to keep, and how often each rule applied."""

    boxes: np.ndarray
    keep: np.ndarray
    counts: dict[str, int]


def mend(boxes: np.ndarray, size: tuple[int, int] | np.ndarray) -> Mended:
    """Makes boxes valid: puts their corners in order and clips them to the photo.

    A box wholly outside the photo is dropped. A box without area is kept, because it still says where an object is.

    Args:
      boxes: `[m, 4]` xyxy in pixels, finite.
      size: height and width of the photo in pixels, or those of each box's photo, `[m, 2]`.

    >>> mended = mend(np.array([[9.0, 0, 5, 4], [-3, 0, 2, 2], [50, 0, 60, 5], [3, 3, 3, 3]]), (10, 10))
    >>> mended.boxes[mended.keep].tolist()
    [[5.0, 0.0, 9.0, 4.0], [0.0, 0.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0]]
    >>> mended.counts
    {'reversed, put in order': 1, 'outside, dropped': 1, 'reaching out, clipped': 1, 'without area, kept': 1}
    """
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    limit = np.tile(np.asarray(size, np.float64)[..., ::-1], 2)
    end = limit[..., :2]
    outside = ((low > end) | (high < 0)).any(1) | (((low == end) | (high == 0)) & (low < high)).any(1)
    ordered = np.concatenate([low, high], 1)
    clipped = np.clip(ordered, 0, limit)
    keep = ~outside
    counts = {
        "reversed, put in order": int((ordered != boxes).any(1).sum()),
        "outside, dropped": int(outside.sum()),
        "reaching out, clipped": int(((clipped != ordered).any(1) & keep).sum()),
        "without area, kept": int(((clipped[:, :2] == clipped[:, 2:]).any(1) & keep).sum()),
    }
    return Mended(clipped, keep, counts)


def class_table(objects: Iterable[Objects], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the class names after checking every object against them; without `classes`, all names in sorted order.

    Raises:
      ValueError: an object has a class that the table lacks (the message names its file), or there is no object at all.
    """
    objects = list(objects)
    if not classes:
        classes = tuple(sorted({name for photo in objects for name in photo.names}))
    if not classes:
        raise ValueError("no photo has an object, so there is no class to learn; check the annotation files")
    known = set(classes)
    for photo in objects:
        for name in photo.names:
            if name not in known:
                raise ValueError(f"{photo.source}: {unknown('class', name, classes)}")
    return tuple(classes)
