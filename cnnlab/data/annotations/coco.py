"""Reader of COCO's boxes and outlines: one JSON file for many photos.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; format at cocodataset.org.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.data.annotations.fields import AREA, BOX, FLAG, LARGEST, TEXT, field, identity
from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, polygons, stated_size
from cnnlab.data.annotations.survey import Survey, find_photo, mentions, photo_size, split_of
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_json
from cnnlab.geometry.outlines import Outline, Runs, bounds, check_runs, decompress

MAX_BYTES = 600_000_000  # enough for COCO's own training file
_KEYS = (b'"images"', b'"annotations"', b'"categories"')


def find_coco(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the JSON files that hold COCO's three lists, wherever they lie, and those in a folder `annotations`.

    The official archive also has files of captions and key points: where a folder has files called `instances_*`, they
    are the only ones.
    """
    files = found.ending(".json", below=within)
    named = [path for path in files if within is not None or path.parent.name == "annotations"]
    files = [path for path in files if mentions(path, _KEYS)] or named
    return [path for path in files if path.name.startswith("instances_")] or files


def read_coco(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads the photos and objects of one or several files; a `bbox` is x, y, width, height from the top left corner.

    The split of a file is the word `train`, `val` or `test` in its name or, without it, the folder of that name above
    it. Classes are in the order of their category ids. A category without objects that only heads others is none;
    Roboflow writes one. Crowds (`iscrowd` 1: many objects in one box) are marked. A `segmentation` is a list of
    polygons, of which the union counts, or run lengths. Without a `bbox`, an object has the tight box of its outline.

    Photos are searched in the folder named like the end of the file (`instances_train2017.json`: `train2017`,
    `images/train2017`), beside the file, in `images`, and then by their names everywhere.

    Raises:
      ValueError: a file is not JSON or lacks an entry, an id is unknown or occurs twice, or a photo is missing.
    """
    tables = {path: load_coco(path) for path in files}
    categories = _categories(tables)
    splits = [split_of(path, found.root, by_name=True) for path in files]
    objects, split, left_out = [], [], {}
    for (path, table), part in zip(tables.items(), splits, strict=True):
        entries = _objects(path, table, categories, found, reading, left_out)
        objects += entries
        split += [part] * len(entries)
    if any(splits) and None in splits:
        raise ValueError(
            f"{files[splits.index(None)]} must have train, val or test in its name or in its folder's, as the other "
            "files; or name one file by --data.annotations"
        )
    if not objects:
        raise ValueError(f"{files[0]} lists no photo; export it again with its photos")
    unused = _headings(tables) - {name for photo in objects for name in photo.names}
    classes = tuple(name for _, name in sorted(categories.items(), key=_in_order) if name not in unused)
    return Annotations(objects, split if any(splits) else None, classes, left_out)


def load_coco(path: Path) -> dict:
    """Loads a JSON file and checks that it holds COCO's three lists."""
    table = read_json(path, limit=MAX_BYTES, strict=False)
    for key in ("images", "annotations", "categories"):
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise ValueError(f"{path} must hold an object with the lists images, annotations, categories; no {key!r}")
    return table


def _categories(tables: dict[Path, dict]) -> dict[int | str, str]:
    """Returns the class names by category id, the same in every file."""
    categories: dict[int | str, str] = {}
    number_of: dict[str, int | str] = {}
    for path, table in tables.items():
        for i, category in enumerate(table["categories"]):
            where = f"{path}: categories[{i}]"
            number, name = identity(category, "id", where), field(category, "name", where, TEXT)
            if categories.setdefault(number, name) != name:
                raise ValueError(f"{where}: category {number} is {name!r} here, {categories[number]!r} before")
            if number_of.setdefault(name, number) != number:
                raise ValueError(
                    f"{where}: categories {number_of[name]} and {number} are both called {name!r}; give each its name"
                )
    return categories


def _in_order(category: tuple[int | str, str]) -> tuple[bool, int | str]:
    """Returns a key that sorts categories by id, numbers before texts."""
    number, _ = category
    return isinstance(number, str), number


def _headings(tables: dict[Path, dict]) -> set[str]:
    """Returns the names that are the supercategory of another category."""
    entries = [category for table in tables.values() for category in table["categories"]]
    return {
        category["supercategory"]
        for category in entries
        if isinstance(category.get("supercategory"), str) and category["supercategory"] != category["name"]
    }


class _Columns(NamedTuple):
    """The entries of `annotations`: ids, boxes x1, y1, x2, y2 `[n, 4]`, marks `[n]`, and outlines."""

    images: Sequence[int | str]
    categories: Sequence[int | str]
    boxes: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    outlines: Sequence[Outline | None]


def _objects(
    path: Path,
    table: dict,
    categories: dict[int | str, str],
    found: Survey,
    reading: Reading,
    left_out: dict[str, int],
) -> list[Objects]:
    """Returns the objects of each photo in the file, and counts the outlines that are left out."""
    place: dict[int | str, int] = {}
    for i, image in enumerate(table["images"]):
        number = identity(image, "id", f"{path}: images[{i}]")
        if place.setdefault(number, i) != i:
            raise ValueError(f"{path}: images[{i}].id {number} occurs twice; make ids unique")
    columns = _common_columns(table["annotations"], path, left_out)
    columns = _any_columns(table["annotations"], path, left_out) if columns is None else columns
    for i, (image, category) in enumerate(zip(columns.images, columns.categories, strict=True)):
        if image not in place or category not in categories:
            where = f"{path}: annotations[{i}]"
            raise ValueError(f"{where} has image_id {image}, category_id {category}; no such entry")
    photo_of = np.array([place[image] for image in columns.images], int)
    order = np.argsort(photo_of, kind="stable")
    ends = np.searchsorted(photo_of[order], np.arange(len(place) + 1))
    out, folders = [], _folders(found.root, path) if reading.photos is None else [reading.photos]
    for i, image in enumerate(table["images"]):
        where, own = f"{path}: images[{i}]", order[ends[i] : ends[i + 1]]
        photo = find_photo(
            found, field(image, "file_name", where, TEXT), where, folders, strict=reading.photos is not None
        )
        names = tuple(categories[columns.categories[j]] for j in own)
        marks = {"crowd": columns.crowd[own], "area": columns.area[own]}
        marks["stated_size"] = stated_size(image.get("height"), image.get("width"))
        outlines = tuple(columns.outlines[j] for j in own)
        marks["outlines"] = outlines if any(outline is not None for outline in outlines) else None
        out.append(Objects(photo, photo_size(photo), columns.boxes[own], names, where, **marks))
    return out


def _common_columns(entries: list, path: Path, left_out: dict[str, int]) -> _Columns | None:
    """Reads entries as most tools write them, all at once; None if one differs, which `_any_columns` reads or names."""
    try:
        images, categories = ([entry[key] for entry in entries] for key in ("image_id", "category_id"))
        boxes, crowd = [entry["bbox"] for entry in entries], [entry.get("iscrowd", 0) for entry in entries]
        area = [entry.get("area", math.nan) for entry in entries]
        numbers = [*itertools.chain.from_iterable(boxes), *area]
    except (AttributeError, KeyError, TypeError):
        return None
    whole = {type(value) for column in (images, categories, crowd) for value in column}
    if not whole <= {int} or not set(map(type, numbers)) <= {int, float} or not set(map(len, boxes)) <= {4}:
        return None
    try:
        corner, size = np.split(np.array(boxes, np.float64).reshape(-1, 4), 2, axis=1)
        areas = np.array(area, np.float64)
    except OverflowError:
        return None
    usual = (np.abs(corner) <= LARGEST).all() and (np.abs(size) <= LARGEST).all()
    if not usual or (areas < 0).any() or (areas > LARGEST**2).any() or not set(crowd) <= {0, 1}:
        return None
    outlines = [
        _outline(entry["segmentation"], f"{path}: annotations[{i}]", left_out) if entry.get("segmentation") else None
        for i, entry in enumerate(entries)
    ]
    return _Columns(
        images, categories, np.concatenate([corner, corner + size], 1), np.array(crowd, bool), areas, outlines
    )


def _any_columns(entries: list, path: Path, left_out: dict[str, int]) -> _Columns:
    """Reads entries one by one; an object without a box has that of its outline.

    Raises:
      ValueError: an entry lacks a value, or has one of another kind.
    """
    rows = []
    for i, annotation in enumerate(entries):
        where = f"{path}: annotations[{i}]"
        image, category = (identity(annotation, key, where) for key in ("image_id", "category_id"))
        outline = _outline(annotation.get("segmentation"), where, left_out)
        if outline is not None and not annotation.get("bbox"):
            box = bounds(outline)
            if math.isnan(box[0]):
                continue
        else:
            x, y, w, h = field(annotation, "bbox", where, BOX)
            box = (x, y, x + w, y + h)
        area = field(annotation, "area", where, AREA, default=None)
        crowd = bool(field(annotation, "iscrowd", where, FLAG, default=0))
        rows.append((image, category, box, crowd, math.nan if area is None else float(area), outline))
    images, categories, boxes, crowd, area, outlines = zip(*rows, strict=True) if rows else [()] * 6
    arrays = np.array(boxes, np.float64).reshape(-1, 4), np.array(crowd, bool), np.array(area, np.float64)
    return _Columns(images, categories, *arrays, outlines)


def _outline(value: Any, where: str, left_out: dict[str, int]) -> Outline | None:
    """Returns the outline of a `segmentation`: a list of polygons, or run lengths as text or as a list.

    Raises:
      ValueError: it is neither.
    """
    if value is None or value == []:
        return None
    try:
        if isinstance(value, dict):
            return _runs(value)
        if not isinstance(value, list):
            raise ValueError("a list of polygons, or an object of counts and size")
        parts = value if isinstance(value[0], list) else [value]
        if not all(
            isinstance(part, list) and len(part) % 2 == 0 and set(map(type, part)) <= {int, float} for part in parts
        ):
            raise ValueError("polygons of an even number of numbers")
        outline = polygons(parts)
        if outline is not None and not all((np.abs(part) <= LARGEST).all() for part in outline.parts):
            raise ValueError(f"polygons of finite numbers, at most {LARGEST:,.0f}")
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{where}.segmentation must be {error}, found {shown(value)}") from error
    if outline is None or len(outline.parts) < len(parts):
        kept = 0 if outline is None else len(outline.parts)
        reason = "polygons of fewer than three corners"
        left_out[reason] = left_out.get(reason, 0) + len(parts) - kept
    return outline


def _runs(value: dict) -> Runs:
    """Returns run lengths; the errors continue `segmentation must be`."""
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < 10**6 for side in size)):
        raise ValueError("run lengths with their size, the photo's height and width")
    if not isinstance(counts, str | list):
        raise ValueError("run lengths whose counts are a text or a list")
    try:
        return check_runs(decompress(counts) if isinstance(counts, str) else counts, (size[0], size[1]))
    except ValueError as error:
        raise ValueError(f"run lengths of the photo ({error})") from error


def _folders(root: Path, path: Path) -> list[Path]:
    """Returns the folders in which the photos of a file may lie, the likeliest first."""
    ending = path.stem.split("_")[-1]
    beside = [path.parent] if path.parent == root else [path.parent, path.parent.parent]
    named = [root / ending, root / "images" / ending]
    return [*named, *(place for folder in beside for place in (folder, folder / "images")), root / "images", root]


FORMAT = Format("coco", "a JSON file with images, annotations and categories (COCO)", find_coco, read_coco)
