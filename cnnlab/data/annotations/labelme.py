"""Reader of LabelMe's shapes: one JSON file per photo.

Source: the file format of github.com/wkentaro/labelme, versions 3 to 5.
"""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.annotations.fields import LIST, POINTS, TEXT, field
from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, objects_of, stated_size
from cnnlab.data.annotations.shapes import ellipse, line, polygon, rectangle
from cnnlab.data.annotations.survey import Survey, find_photo, mentions, photo_size, split_of
from cnnlab.files.opening import opened
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_json
from cnnlab.geometry.outlines import Outline, Polygons, runs_of

MAX_BYTES = 200_000_000  # a file may hold its photo, too


def find_labelme(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the JSON files that hold shapes and the path of an image."""
    return [path for path in found.ending(".json", below=within) if mentions(path, (b'"shapes"', b'"imagePath"'))]


def read_labelme(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads the shapes of each file: polygons, rectangles, circles, lines with a width, and masks.

    Shapes of one label and one group (`group_id`) are parts of one object. Points have no area and are left out. The
    photo is `imagePath`, relative to the file, or a photo of that name anywhere. The folder above a file says its
    split.

    Raises:
      ValueError: a file is not JSON, a shape is wrong, or a photo is missing.
    """
    left_out: dict[str, int] = {}
    objects = [_objects(path, found, reading, left_out) for path in files]
    split = [split_of(path, found.root) for path in files]
    return Annotations(objects, None if None in split else split, None, left_out)


def _objects(path: Path, found: Survey, reading: Reading, left_out: dict[str, int]) -> Objects:
    """Reads one file."""
    table = read_json(path, limit=MAX_BYTES, strict=False)
    name = field(table, "imagePath", str(path), TEXT)
    folders = [path.parent] if reading.photos is None else [reading.photos]
    photo = find_photo(found, name, str(path), folders, strict=reading.photos is not None, upward=True)
    size = photo_size(photo)
    entries: dict[Any, tuple[str, Outline]] = {}
    for i, shape in enumerate(field(table, "shapes", str(path), LIST)):
        where = f"{path}: shapes[{i}]"
        label = field(shape, "label", where, TEXT).strip()
        outline = _outline(shape, where, size, reading.line_width)
        if outline is None:
            kind = f"{shape.get('shape_type') or 'polygon'} without an area"
            left_out[kind] = left_out.get(kind, 0) + 1
            continue
        group = shape.get("group_id")
        key = i if not isinstance(group, int | str) else (label, group)
        entries[key] = (label, _joined(entries[key][1], outline) if key in entries else outline)
    stated = stated_size(table.get("imageHeight"), table.get("imageWidth"))
    return objects_of(photo, size, list(entries.values()), str(path), stated)


def _joined(first: Outline, second: Outline) -> Outline:
    """Returns the union of two outlines, if both are polygons; otherwise the first one."""
    return (
        Polygons(first.parts + second.parts) if isinstance(first, Polygons) and isinstance(second, Polygons) else first
    )


def _outline(shape: dict, where: str, size: tuple[int, int] | None, line_width: float) -> Outline | None:
    """Returns the outline of a shape; None if it has no area.

    Raises:
      ValueError: its type is unknown, or its points do not fit the type.
    """
    kind = field(shape, "shape_type", where, TEXT) if shape.get("shape_type") else "polygon"
    points = field(shape, "points", where, POINTS)
    expected = {"rectangle": 2, "circle": 2, "mask": 2}.get(kind)
    if kind == "rectangle" and len(points) == 4:
        kind, expected = "polygon", None
    if expected is not None and len(points) != expected:
        raise ValueError(f"{where}: a {kind} has {expected} points, found {len(points)}")
    if kind == "polygon":
        return polygon(points)
    if kind == "rectangle":
        (x1, y1), (x2, y2) = points
        return rectangle(min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return ellipse(x, y, radius, radius)
    if kind in ("line", "linestrip"):
        return line(points, line_width)
    if kind == "mask":
        return _mask(shape.get("mask"), points, size, where)
    if kind in ("point", "points"):
        return None
    raise ValueError(
        f"{where}.shape_type must be polygon, rectangle, circle, line, linestrip, point or mask, found {shown(kind)}"
    )


def _mask(encoded: Any, points: list[list[float]], size: tuple[int, int] | None, where: str) -> Outline | None:
    """Returns the run lengths of a mask, a small PNG in Base64 whose upper left pixel lies at the first point."""
    if size is None:
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
        with opened(io.BytesIO(content), where) as image:
            inside = np.asarray(image.convert("L")) > 0
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}.mask must be a PNG in Base64 ({error})") from error
    left, top = (int(value) for value in points[0])
    whole = np.zeros(size, bool)
    rows, columns = slice(max(top, 0), top + inside.shape[0]), slice(max(left, 0), left + inside.shape[1])
    target = whole[rows, columns]
    target |= inside[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return runs_of(whole) if whole.any() else None


FORMAT = Format("labelme", "a JSON file a photo with shapes and imagePath (LabelMe)", find_labelme, read_labelme)
