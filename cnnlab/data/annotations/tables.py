"""Reader of CSV tables with a box a row: those of Open Images, RetinaNet, TensorFlow and Roboflow.

Source: Kuznetsova et al., The Open Images Dataset V4, IJCV 2020; the CSV files of github.com/fizyr/keras-retinanet.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.data.annotations.fields import is_number
from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, stated_size
from cnnlab.data.annotations.survey import Survey, find_photo, first_bytes, photo_size, split_of
from cnnlab.data.masks import CLASSES
from cnnlab.data.targets import TARGETS
from cnnlab.files.listing import has_image_suffix
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

MAX_BYTES = 600_000_000
_START = 10_000  # bytes in which the header and a row stand
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NAMES = {
    **dict.fromkeys(("file", "filename", "file_name", "image", "image_path", "path", "imageid", "image_id"), "file"),
    **dict.fromkeys(("class", "label", "labelname", "class_name", "name", "category"), "class"),
    **{"x1": "xmin", "y1": "ymin", "x2": "xmax", "y2": "ymax"},
    **{"width": "width", "height": "height", "isgroupof": "crowd"},
    **{side: side for side in _SIDES},
}
"""Meanings of the headers of columns, in lower case."""
_PLAIN = ("file", *_SIDES, "class")  # RetinaNet's columns, which have no header


class _Table(NamedTuple):
    """The rows of one file: meaning of each column by its place, whether a header says it, and whether boxes are
    shares of the photo, as in Open Images.
    """

    columns: Mapping[str, int]
    header: bool
    shares: bool


def find_tables(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the CSV files whose header, or whose first row, is that of boxes."""
    files = [path for path in found.ending(".csv", below=within) if path.name not in (TARGETS, CLASSES)]
    return [path for path in files if _first_rows(path) is not None]


def _first_rows(path: Path) -> _Table | None:
    """Returns the columns of a file, judged by its first row; None if it is no table of boxes."""
    lines = first_bytes(path, _START).decode("utf-8-sig", "replace").splitlines()
    try:
        row = next(csv.reader(lines[:1]), [])
    except csv.Error:
        return None
    header = [cell.strip().lower() for cell in row]
    columns: dict[str, int] = {}
    for place, name in enumerate(header):
        if name in _NAMES:
            columns.setdefault(_NAMES[name], place)
    if {*_PLAIN} <= {*columns}:
        return _Table(columns, True, "imageid" in header)
    if len(row) == len(_PLAIN) and has_image_suffix(row[0].strip()) and all(_is_cell(cell) for cell in row[1:5]):
        return _Table({name: place for place, name in enumerate(_PLAIN)}, False, False)
    return None


def _is_cell(text: str) -> bool:
    """Returns whether a cell is empty or a finite number."""
    return not text.strip() or _number(text) is not None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if is_number(value) else None


def read_tables(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads tables with a row a box: a file, xmin, ymin, xmax, ymax in pixels, and a class.

    Without a header these are the columns. A row with empty cells is a photo without objects. In Open Images, whose
    column is `ImageID`, boxes are shares of the photo, `IsGroupOf` marks crowds, and a file `class-descriptions*.csv`
    gives the classes their names. The split of a file is the word in its name or the folder above it; if only some have
    one, the others are `train`. A file of rows `class,number` gives the order of the classes.

    Raises:
      ValueError: a row is wrong, or a photo is missing.
    """
    titles = _titles(found)
    photos: dict[Path, list[tuple[np.ndarray, str, bool]]] = {}
    places: dict[Path, tuple[str, str | None, tuple[int, int] | None, bool]] = {}
    for path in files:
        table, rows = _first_rows(path), _rows(path)
        folders = [path.parent, path.parent / "images", found.root, found.root / "images"]
        split = split_of(path, found.root, by_name=True)
        for line, row in rows[1 if table.header else 0 :]:
            where = f"{path} line {line}"
            cell = {name: row[place].strip() if place < len(row) else "" for name, place in table.columns.items()}
            photo = _photo(found, cell["file"], where, folders, reading)
            places.setdefault(photo, (where, split, stated_size(cell.get("height"), cell.get("width")), table.shares))
            objects = photos.setdefault(photo, [])
            if any(cell[name] for name in (*_SIDES, "class")):
                box = [_number(cell[side]) for side in _SIDES]
                if None in box or not cell["class"]:
                    raise ValueError(f"{where}: must hold four finite numbers and a class, found {shown(row)}")
                crowd = cell.get("crowd", "0").lower() in ("1", "true")
                objects.append((np.array(box), titles.get(cell["class"], cell["class"]), crowd))
    out = []
    for photo, objects in photos.items():
        where, _, stated, shares = places[photo]
        size = photo_size(photo)
        scale = np.tile((size or (1, 1))[::-1], 2) if shares else 1
        boxes, names, crowd = zip(*objects, strict=True) if objects else ((), (), ())
        corners = np.array(boxes, np.float64).reshape(-1, 4) * scale
        out.append(Objects(photo, size, corners, names, where, crowd=np.array(crowd, bool), stated_size=stated))
    split = [places[photo][1] for photo in photos]
    known = [part or "train" for part in split] if any(split) else None
    return Annotations(out, known, _order(found, {name for entry in out for name in entry.names}), {})


def _photo(found: Survey, name: str, where: str, folders: Sequence[Path], reading: Reading) -> Path:
    """Returns the photo of a row."""
    if not name:
        raise ValueError(f"{where}: the row names no file; fill in its first cell or remove the row")
    places = folders if reading.photos is None else [reading.photos]
    return find_photo(found, name, where, places, strict=reading.photos is not None)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Returns the rows of a file that are not empty, each with the number of its line."""
    reader = csv.reader(io.StringIO(read_text(path, limit=MAX_BYTES, kind="table"), newline=""))
    try:
        return [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file ({error}); check the quotes") from error


def _titles(found: Survey) -> dict[str, str]:
    """Returns the names of Open Images' classes by their code (`/m/01yrx`)."""
    files = [path for path in found.ending(".csv") if "class-descriptions" in path.name]
    rows = [row for path in files for _, row in _rows(path)]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) >= 2 and row[0].startswith("/m/")}


def _order(found: Survey, names: set[str]) -> tuple[str, ...] | None:
    """Returns the classes in the order of a file of rows `class,number` that numbers them all; None without one."""
    for path in found.ending(".csv"):
        if path.stat().st_size > _START or path.name == CLASSES:
            continue
        rows = [row for _, row in _rows(path)]
        if not rows or any(len(row) != 2 or _number(row[1]) is None for row in rows):
            continue
        number = {name.strip(): float(place) for name, place in rows}
        if names <= {*number} and sorted(number.values()) == list(range(len(rows))):
            return tuple(sorted(number, key=number.get))
    return None


FORMAT = Format(
    "csv", "a CSV file of file, xmin, ymin, xmax, ymax, class (Open Images, RetinaNet)", find_tables, read_tables
)
