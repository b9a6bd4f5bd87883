"""Reader of Label Studio's own JSON: a list of tasks with regions in percent of the photo.

Source: the pages on the export formats and on the tags RectangleLabels, PolygonLabels, EllipseLabels and BrushLabels at
labelstud.io.
"""

import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cnnlab.data.annotations.fields import LIST, NUMBER, OBJECT, POINTS, TEXT, field
from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, objects_of
from cnnlab.data.annotations.shapes import ellipse, polygon, rectangle
from cnnlab.data.annotations.survey import Survey, chosen_attribute, find_photo, mentions, photo_size, split_of
from cnnlab.files.listing import alike, has_image_suffix
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_json
from cnnlab.geometry.outlines import Outline, runs_of

MAX_BYTES = 600_000_000
_UPLOAD = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio writes before the name of an uploaded file."""
_SHAPES = ("rectangle", "polygon", "ellipse", "brush")
_KINDS = (*_SHAPES, *(f"{name}labels" for name in _SHAPES))


def find_label_studio(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the JSON files with tasks, in the full form (`result`) or the short one (a list a label)."""
    files = found.ending(".json", below=within)
    return [path for path in files if mentions(path, (b'"data"', b'"result"')) or _is_short(path)]


def _is_short(path: Path) -> bool:
    return mentions(path, (b'"original_width"',)) and any(mentions(path, (f'"{kind}"'.encode(),)) for kind in _KINDS)


def read_label_studio(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads rectangles (also turned ones), polygons, ellipses and brushes of the first annotation of each task.

    Tasks without an annotation are left out, as are key points and regions without a label. Label Studio names photos
    by URLs; the photo of the same name in the folder counts, with or without the eight digits of an upload.

    Raises:
      ValueError: a file or a region is wrong, several controls give labels and none is named, or a photo is missing.
    """
    tasks = [(path, i, task) for path in files for i, task in enumerate(_tasks(path))]
    left_out: dict[str, int] = {}
    photos, split = [], []
    controls = {control for *_, task in tasks for control in _controls(task)}
    control = chosen_attribute(controls, reading.label, str(files[0]))
    for path, i, task in tasks:
        where = f"{path}: task {i}"
        regions = _regions(task, where)
        if regions is None:
            left_out["tasks without an annotation"] = left_out.get("tasks without an annotation", 0) + 1
            continue
        photo = _photo(found, task, where, reading.photos)
        size = photo_size(photo)
        entries: list[tuple[str, Outline]] = []
        for k, (name, region) in enumerate(regions):
            if control is not None and name not in (None, control):
                continue
            entry = _entry(region, f"{where}.result[{k}]", size)
            if entry is None:
                left_out["regions without a label or an area"] = (
                    left_out.get("regions without a label or an area", 0) + 1
                )
            else:
                entries.append(entry)
        photos.append(objects_of(photo, size, entries, where))
        split.append(split_of(path, found.root))
    if not photos:
        raise ValueError(f"{files[0]} has no annotated task; export it after annotating")
    return Annotations(photos, None if None in split else split, None, left_out)


def _tasks(path: Path) -> list[dict]:
    table = read_json(path, limit=MAX_BYTES, strict=False)
    table = [table] if isinstance(table, dict) else table
    if not isinstance(table, list) or not all(isinstance(task, dict) for task in table):
        raise ValueError(f"{path} must be a list of tasks, found {shown(table)}")
    return table


def _controls(task: dict) -> set[str]:
    """Returns the names of the controls that give a region a label."""
    regions = _regions(task, "a task") if _well_formed(task) else None
    return {name for name, region in regions or () if name is not None and _label_of(region)}


def _well_formed(task: dict) -> bool:
    try:
        _regions(task, "a task")
    except ValueError:
        return False
    return True


def _regions(task: dict, where: str) -> list[tuple[str | None, dict]] | None:
    """Returns the control and the region of each entry of a task's first annotation; None for a task without any."""
    if "annotations" in task or "completions" in task:
        key = "annotations" if "annotations" in task else "completions"
        kept = [entry for entry in field(task, key, where, LIST) if isinstance(entry, dict)]
        kept = [entry for entry in kept if not entry.get("was_cancelled")]
        if not kept:
            return None
        result = field(kept[0], "result", where, LIST)
        if strange := [region for region in result if not isinstance(region, dict)]:
            raise ValueError(f"{where}.result must hold objects, found {shown(strange[0])}")
        named = [(region.get("from_name"), region) for region in result]
        return [(name if isinstance(name, str) else None, region) for name, region in named]
    lists = {key: value for key, value in task.items() if isinstance(value, list)}
    short = {key: [entry for entry in value if isinstance(entry, dict)] for key, value in lists.items()}
    return [(key, {"value": entry, "type": _kind(entry)}) for key, entries in short.items() for entry in entries]


def _kind(value: dict) -> str | None:
    return next((kind for kind in _KINDS if kind in value), None)


def _label_of(region: dict) -> str | None:
    """Returns the label of a region: the first one of its own kind."""
    value = region.get("value")
    if not isinstance(value, dict):
        return None
    labels = next((value[kind] for kind in (*_KINDS, "labels") if isinstance(value.get(kind), list)), [])
    return labels[0].strip() if labels and isinstance(labels[0], str) and labels[0].strip() else None


def _entry(region: dict, where: str, size: tuple[int, int] | None) -> tuple[str, Outline] | None:
    """Returns the label and the outline of a region in pixels of the photo; None without a label or an area."""
    label, kind = _label_of(region), region.get("type")
    if label is None or kind not in _KINDS or size is None:
        return None
    value = field(region, "value", where, OBJECT)
    height, width = size
    x, y = width / 100, height / 100
    kind = kind.removesuffix("labels")
    if kind == "polygon":
        outline = polygon([(x * a, y * b) for a, b in field(value, "points", where, POINTS)])
    elif kind == "brush":
        outline = _brush(value, size, where)
    else:
        keys = ("x", "y", "width", "height") if kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
        a, b, c, d = (field(value, key, where, NUMBER) for key in keys)
        turn = field(value, "rotation", where, NUMBER, default=0)
        draw = rectangle if kind == "rectangle" else ellipse
        outline = draw(a * x, b * y, c * x, d * y, turn)
    return None if outline is None else (label, outline)


def _brush(value: dict, size: tuple[int, int], where: str) -> Outline | None:
    """Returns the run lengths of a brush: the pixels whose opacity is above half."""
    codes = field(value, "rle", where, LIST)
    if not all(type(code) is int and 0 <= code < 256 for code in codes):
        raise ValueError(f"{where}.rle must be a list of bytes, found {shown(codes)}")
    try:
        inside = decode_brush(bytes(codes), 4 * size[0] * size[1])[3::4].reshape(size) > 127
    except ValueError as error:
        raise ValueError(f"{where}.rle {error}") from error
    return runs_of(inside) if inside.any() else None


def decode_brush(content: bytes, number: int) -> np.ndarray:
    """Decodes a brush: `number` bytes, red, green, blue and opacity of each pixel, row by row.

    A stream of bits holds the number of values (32 bits), their size less 1 (5), and four sizes of lengths less 1 (4
    each). Then follow pieces: whether all values of the piece are the same (1), which size its length has (2), its
    length less 1, and one value, or as many as the length says.

    Raises:
      ValueError: the stream is cut off, or has another number of values or another size than 8 bits.

    >>> decode_brush(bytes([0, 0, 0, 4, 57, 153, 156, 63, 240]), 4).tolist()
    [255, 255, 255, 255]
    """
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    place = 0

    def read(size: int) -> int:
        nonlocal place
        if place + size > len(bits):
            raise ValueError("is cut off")
        piece = bits[place : place + size]
        place += size
        return int(piece.dot(1 << np.arange(size)[::-1]))

    stated, size = read(32), read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    if stated != number or size != 8:
        raise ValueError(f"holds {stated:,} values of {size} bits, the photo needs {number:,} of 8")
    out, done = np.empty(number, np.uint8), 0
    while done < number:
        same = read(1)
        length = min(read(lengths[read(2)]) + 1, number - done)
        if same:
            out[done : done + length] = read(8)
        else:
            if place + 8 * length > len(bits):
                raise ValueError("is cut off")
            out[done : done + length] = np.packbits(bits[place : place + 8 * length])
            place += 8 * length
        done += length
    return out


def _photo(found: Survey, task: dict, where: str, photos: Path | None) -> Path:
    """Returns the photo of a task: of the name at the end of its URL, with or without the digits of an upload."""
    data: Any = task.get("data") if isinstance(task.get("data"), dict) else task
    texts = [data["image"]] if isinstance(data.get("image"), str) else [v for v in data.values() if isinstance(v, str)]
    texts = [text for text in texts if has_image_suffix(_name(text))] or texts
    if not texts:
        raise ValueError(f"{where} names no photo; its data must hold the key 'image', {TEXT.description}")
    name = _name(texts[0])
    short = name[_UPLOAD.match(name).end() :] if _UPLOAD.match(name) else name
    name = name if alike(name) in found.names or alike(short) not in found.names else short
    if alike(name) not in found.names and "://" in texts[0]:
        name = texts[0]  # the error says that it is not fetched
    return find_photo(found, name, where, [photos or found.root], strict=photos is not None)


def _name(text: str) -> str:
    """Returns the file name in a URL or path.

    >>> _name("/data/local-files/?d=maps/a%20b.png"), _name("s3://bucket/a.png")
    ('a b.png', 'a.png')
    """
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(text).query) if "?d=" in text else {}
    path = query["d"][0] if query.get("d") else urllib.parse.unquote(text.split("?")[0])
    return PurePosixPath(path.replace("\\", "/")).name


FORMAT = Format("labelstudio", "a JSON file of tasks (Label Studio)", find_label_studio, read_label_studio)
