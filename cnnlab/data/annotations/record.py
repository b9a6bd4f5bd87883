"""What annotation files say of a photo, and what is done about boxes that cannot be."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.errors import unknown


class Objects(NamedTuple):
    """The objects of one photo.

    Attributes:
      photo: the image file.
      size: its height and width in pixels, upright; None where the file is no image.
      boxes: `[m, 4]` xyxy in its pixels, continuous coordinates.
      names: the class of each.
      source: the file (and line) that says so, for messages.
      difficult: `[m]` bool, marked so by VOC; none where the format has no such mark, like the two below.
      crowd: `[m]` bool, a region of many objects rather than one, by COCO.
      area: `[m]`, COCO's own in square pixels, that of the object's outline; NaN where an entry has none.
      stated_size: the height and width that the source has for the photo; None where it has none.
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


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """A size as a file states it; None where that is no pair of whole numbers above 0.

    >>> stated_size("480", 640), stated_size(None, 640), stated_size(0, 0)
    ((480, 640), None, None)
    """
    try:
        size = int(str(height)), int(str(width))
    except ValueError:
        return None
    return size if min(size) > 0 else None


class Annotations(NamedTuple):
    """All photos of a folder.

    Attributes:
      objects: one entry a photo.
      split: of each photo; none where the folder does not say.
      classes: names in the order of the format's own table; none where it has none.
      left_out: how many objects the reader left out, by reason.
    """

    objects: list[Objects]
    split: list[str] | None
    classes: tuple[str, ...] | None
    left_out: dict[str, int]


class Mended(NamedTuple):
    """Boxes after `mend`, which of them are kept `[m]`, and how often each rule was used."""

    boxes: np.ndarray
    keep: np.ndarray
    counts: dict[str, int]


def mend(boxes: np.ndarray, size: tuple[int, int]) -> Mended:
    """Makes boxes valid: corners put in order, what lies outside the photo cut off.

    A box that lies wholly outside is dropped. A box without area is kept: it still says where an object is.

    Args:
      boxes: `[m, 4]` xyxy in pixels, finite.
      size: height and width of the photo.

    >>> mended = mend(np.array([[9.0, 0, 5, 4], [-3, 0, 2, 2], [50, 0, 60, 5], [3, 3, 3, 3]]), (10, 10))
    >>> mended.boxes[mended.keep].tolist()
    [[5.0, 0.0, 9.0, 4.0], [0.0, 0.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0]]
    >>> mended.counts
    {'reversed, put in order': 1, 'outside, dropped': 1, 'reaching out, clipped': 1, 'without area, kept': 1}
    """
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    limit = np.array([size[1], size[0]], np.float64)
    outside = ((low > limit) | (high < 0)).any(1) | (((low == limit) | (high == 0)) & (low < high)).any(1)
    ordered = np.concatenate([low, high], 1)
    clipped = np.clip(ordered, 0, np.tile(limit, 2))
    kept = ~outside
    counts = {
        "reversed, put in order": int((ordered != boxes).any(1).sum()),
        "outside, dropped": int(outside.sum()),
        "reaching out, clipped": int(((clipped != ordered).any(1) & kept).sum()),
        "without area, kept": int(((clipped[:, :2] == clipped[:, 2:]).any(1) & kept).sum()),
    }
    return Mended(clipped, kept, counts)


def class_table(objects: Iterable[Objects], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The table, checked against every object; all names in sorted order where none is given.

    Raises:
      ValueError: an object has a class that the table lacks (its file is named), or there is no object at all.
    """
    objects = list(objects)
    if not classes:
        classes = tuple(sorted({name for one in objects for name in one.names}))
    if not classes:
        raise ValueError("no photo has an object, so there is no class to learn; check the annotation files")
    for one in objects:
        for name in one.names:
            if name not in classes:
                raise ValueError(f"{one.source}: {unknown('class', name, classes)}")
    return tuple(classes)


def read_bounded(path: Path, limit: int) -> str:
    """A text file in UTF-8.

    Raises:
      ValueError: it is missing, larger than `limit` bytes, or not UTF-8.
    """
    try:
        found = path.stat().st_size
        if found > limit:
            raise ValueError(f"{path} has {found:,} bytes, more than {limit:,}; this is no annotation file, remove it")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); repair or remove it") from error
