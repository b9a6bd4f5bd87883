"""Reader of VGG Image Annotator's regions: JSON or CSV files for many photos.

Source: Dutta and Zisserman, The VIA Annotation Software for Images, Audio and Video, ACM Multimedia 2019; the files of
its versions 1 and 2.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnlab.data.annotations.fields import LIST, NUMBER, OBJECT, TEXT, field, is_number
from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, objects_of
from cnnlab.data.annotations.shapes import ellipse, line, polygon, rectangle
from cnnlab.data.annotations.survey import (
    Survey,
    chosen_attribute,
    find_photo,
    first_bytes,
    mentions,
    photo_size,
    split_of,
)
from cnnlab.files.strict_json import shown
from cnnlab.files.text import parse_json, read_json, read_text
from cnnlab.geometry.outlines import Outline

MAX_BYTES = 600_000_000
ONLY_CLASS = "object"  # of regions without attributes
_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
_START = 4096


class _Region(NamedTuple):
    """One region: its shape, its attributes, and its place for messages."""

    shape: dict
    attributes: dict
    where: str


def find_via(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns VIA's project and annotation files."""
    files = found.ending(".json", below=within)
    tables = found.ending(".csv", below=within)
    words = [name.encode() for name in _COLUMNS]
    return [
        *(path for path in files if mentions(path, (b'"regions"', b'"file_attributes"'))),
        *(path for path in tables if all(word in first_bytes(path, _START) for word in words)),
    ]


def read_via(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads regions: rectangles, polygons, circles, ellipses and polylines, which are lines with a width.

    The class of a region is its only attribute, or the one that the user names; regions without any attribute are of
    the one class `object`. Points have no area and are left out. The folder above a file says its split.

    Raises:
      ValueError: a file or a region is wrong, regions have several attributes and none is named, or a photo is missing.
    """
    photos, split, left_out = [], [], {}
    listed = [(path, *entry) for path in files for entry in (_rows(path) if path.suffix == ".csv" else _entries(path))]
    names = {name for _, _, regions, _ in listed for region in regions for name in region.attributes}
    attribute = chosen_attribute(names, reading.label, str(files[0]))
    for path, name, regions, where in listed:
        folders = [path.parent, path.parent / "images"] if reading.photos is None else [reading.photos]
        photo = find_photo(found, name, where, folders, strict=reading.photos is not None)
        photos.append(_objects(photo, regions, attribute, where, reading.line_width, left_out))
        split.append(split_of(path, found.root))
    if not photos:
        raise ValueError(f"{files[0]} lists no photo; export it again with its regions")
    return Annotations(photos, None if None in split else split, None, left_out)


def _entries(path: Path) -> list[tuple[str, list[_Region], str]]:
    """Returns the file name, the regions and the place of each entry of a JSON file."""
    table = read_json(path, limit=MAX_BYTES, strict=False)
    if isinstance(table, dict) and isinstance(table.get("_via_img_metadata"), dict):
        table = table["_via_img_metadata"]
    if not isinstance(table, dict):
        raise ValueError(f"{path} must be an object with an entry a photo, found {shown(table)}")
    out = []
    for key, entry in table.items():
        where = f"{path}: {shown(key)}"
        if not isinstance(entry, dict) or "regions" not in entry:
            continue
        regions = entry["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else field(entry, "regions", where, LIST)
        checked = []
        for i, region in enumerate(regions):
            place = f"{where}.regions[{i}]"
            attributes = field(region, "region_attributes", place, OBJECT, default={})
            checked.append(_Region(field(region, "shape_attributes", place, OBJECT), attributes, place))
        out.append((field(entry, "filename", where, TEXT), checked, where))
    return out


def _rows(path: Path) -> list[tuple[str, list[_Region], str]]:
    """Returns the file name, the regions and the place of each photo of a CSV file, which has a row a region."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, limit=MAX_BYTES, kind="table"), newline="")))
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file ({error}); check the quotes") from error
    out: dict[str, list[_Region]] = {}
    for line_number, row in enumerate(rows, 2):
        where = f"{path} line {line_number}"
        name, *cells = (row.get(column) or "" for column in _COLUMNS)
        if not name:
            raise ValueError(f"{where}: the row names no file; fill in its cell 'filename' or remove the row")
        shape, attributes = (parse_json(cell or "{}", where, strict=False) for cell in cells)
        if not isinstance(shape, dict) or not isinstance(attributes, dict):
            raise ValueError(f"{where}: the attributes of a region must be objects, found {shown(cells)}")
        regions = out.setdefault(name, [])
        if shape:
            regions.append(_Region(shape, attributes, where))
    return [(name, regions, f"{path}: {shown(name)}") for name, regions in out.items()]


def _objects(
    photo: Path, regions: list[_Region], attribute: str | None, where: str, line_width: float, left_out: dict[str, int]
) -> Objects:
    """Returns the objects of one photo."""
    entries: list[tuple[str, Outline]] = []
    for region in regions:
        outline = _outline(region, line_width)
        if outline is None:
            kind = f"{region.shape['name']} without an area"
            left_out[kind] = left_out.get(kind, 0) + 1
            continue
        entries.append((_class(region, attribute), outline))
    return objects_of(photo, photo_size(photo), entries, where)


def _class(region: _Region, attribute: str | None) -> str:
    """Returns the class of a region: a text, or the one box that is checked."""
    if attribute is None:
        return ONLY_CLASS
    value: Any = region.attributes.get(attribute)
    if isinstance(value, dict):
        checked = [name for name, state in value.items() if state]
        value = checked[0] if len(checked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{region.where}: {attribute!r} must be the name of one class, found {shown(region.attributes)}"
        )
    return value.strip()


def _outline(region: _Region, line_width: float) -> Outline | None:
    """Returns the outline of a region; None if it has no area.

    Raises:
      ValueError: its shape is unknown or lacks a number.
    """
    shape, where = region.shape, f"{region.where}.shape_attributes"
    kind = field(shape, "name", where, TEXT)

    def numbers(*keys: str) -> list[float]:
        return [field(shape, key, where, NUMBER) for key in keys]

    if kind == "rect":
        return rectangle(*numbers("x", "y", "width", "height"))
    if kind == "circle":
        x, y, radius = numbers("cx", "cy", "r")
        return ellipse(x, y, radius, radius)
    if kind == "ellipse":
        turn = field(shape, "theta", where, NUMBER, default=0)
        return ellipse(*numbers("cx", "cy", "rx", "ry"), degrees=math.degrees(turn))
    if kind in ("polygon", "polyline"):
        xs, ys = (field(shape, key, where, LIST) for key in ("all_points_x", "all_points_y"))
        if len(xs) != len(ys) or not all(map(is_number, [*xs, *ys])):
            raise ValueError(f"{where} must have as many finite all_points_x as all_points_y")
        points = list(zip(xs, ys, strict=True))
        return polygon(points) if kind == "polygon" else line(points, line_width)
    if kind == "point":
        return None
    raise ValueError(f"{where}.name must be rect, polygon, circle, ellipse, polyline or point, found {shown(kind)}")


FORMAT = Format("via", "a JSON or CSV file with regions (VGG Image Annotator)", find_via, read_via)
