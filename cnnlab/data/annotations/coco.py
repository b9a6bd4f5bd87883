"""Reader of COCO's boxes: one JSON file for many photos.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; format at cocodataset.org.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, stated_size
from cnnlab.files.listing import list_files
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_json

MAX_BYTES = 600_000_000  # enough for COCO's own training file
LARGEST = 1e9  # of a coordinate in pixels
SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}


def holds_coco(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has `annotations/*.json`, or whether `annotations` within it is or holds a JSON file."""
    if annotations is None:
        return bool(_files(root / "annotations"))
    path = root / annotations
    return path.suffix.lower() == ".json" if path.is_file() else bool(_files(path))


def read_coco(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads the photos and boxes of one or several files; a `bbox` is x, y, width, height from the top left corner.

    The split of a file is the word `train`, `val` or `test` in its name. Classes are in the order of their category
    ids. Crowds (`iscrowd` 1: many objects in one box) are marked.

    Args:
      root: the folder. Photos are searched in the folder named like the end of the file (`instances_train2017.json`:
        `root/train2017`, `root/images/train2017`), then in `root/images` and in `root`.
      annotations: name of the JSON file or of the folder of JSON files within it, if it is not `annotations`.
      photos: name of the folder of photos within it, which is then the only one.

    Raises:
      ValueError: a file is not JSON or lacks an entry, an id is unknown or occurs twice, or a photo is missing.
    """
    place = root / (annotations or "annotations")
    # The official archive also has files of captions and key points.
    inside = [place] if place.is_file() else _files(place)
    files = [path for path in inside if path.name.startswith("instances_")] or inside
    tables = {path: load_coco(path) for path in files}
    categories = _categories(tables)
    splits = [next((s for word, s in SPLIT_WORDS.items() if word in path.stem.lower()), None) for path in files]
    objects, split = [], []
    for (path, table), part in zip(tables.items(), splits, strict=True):
        entries = _objects(path, table, categories, root / photos if photos else _folder(root, path))
        objects += entries
        split += [part] * len(entries)
    if any(splits) and None in splits:
        raise ValueError(f"{files[splits.index(None)]} must have train, val or test in its name, as the other files")
    classes = tuple(name for _, name in sorted(categories.items()))
    return Annotations(objects, split if any(splits) else None, classes, {})


def _files(folder: Path) -> list[Path]:
    """Returns the visible JSON files below a folder; none if it does not exist."""
    return [path for path in list_files(folder).others if path.suffix.lower() == ".json"] if folder.is_dir() else []


def load_coco(path: Path) -> dict:
    """Loads a JSON file and checks that it holds COCO's three lists."""
    table = read_json(path, limit=MAX_BYTES, strict=False)
    for key in ("images", "annotations", "categories"):
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise ValueError(f"{path} must hold an object with the lists images, annotations, categories; no {key!r}")
    return table


def _categories(tables: dict[Path, dict]) -> dict[int, str]:
    """Returns the class names by category id, the same in every file."""
    categories: dict[int, str] = {}
    number_of: dict[str, int] = {}
    for path, table in tables.items():
        for i, category in enumerate(table["categories"]):
            where = f"{path}: categories[{i}]"
            number, name = _field(category, "id", where, _ID), _field(category, "name", where, _TEXT)
            if categories.setdefault(number, name) != name:
                raise ValueError(f"{where}: category {number} is {name!r} here, {categories[number]!r} before")
            if number_of.setdefault(name, number) != number:
                raise ValueError(
                    f"{where}: categories {number_of[name]} and {number} are both called {name!r}; give each its name"
                )
    return categories


def _objects(path: Path, table: dict, categories: dict[int, str], photos: Path) -> list[Objects]:
    """Returns the objects of each photo in the file."""
    inside: dict[int, list[tuple[list[float], str, bool, float]]] = {}
    for i, image in enumerate(table["images"]):
        number = _field(image, "id", f"{path}: images[{i}]", _ID)
        if number in inside:
            raise ValueError(f"{path}: images[{i}].id {number} occurs twice; make ids unique")
        inside[number] = []
    for i, annotation in enumerate(table["annotations"]):
        where = f"{path}: annotations[{i}]"
        image, category = (_field(annotation, key, where, _ID) for key in ("image_id", "category_id"))
        if image not in inside or category not in categories:
            raise ValueError(f"{where} has image_id {image}, category_id {category}; no such entry")
        x, y, w, h = _field(annotation, "bbox", where, _BOX)
        area = _field(annotation, "area", where, _AREA, default=None)
        crowd = bool(_field(annotation, "iscrowd", where, _FLAG, default=0))
        box = [x, y, x + w, y + h]
        inside[image].append((box, categories[category], crowd, math.nan if area is None else float(area)))
    out = []
    for i, image in enumerate(table["images"]):
        where = f"{path}: images[{i}]"
        photo, size = find_photo(photos, _field(image, "file_name", where, _TEXT), where)
        objects = inside[image["id"]]
        boxes, names, crowd, area = zip(*objects, strict=True) if objects else [()] * 4
        boxes = np.array(boxes, np.float64).reshape(-1, 4)
        marks = {"crowd": np.array(crowd, bool), "area": np.array(area, np.float64)}
        marks["stated_size"] = stated_size(image.get("height"), image.get("width"))
        out.append(Objects(photo, size, boxes, names, where, **marks))
    return out


class _Kind(NamedTuple):
    """What a value may be: a test, and its description in messages."""

    accepts: Callable[[Any], bool]
    description: str


def _is_number(value: Any, limit: float = LARGEST) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -limit <= value <= limit


_ID = _Kind(lambda value: type(value) is int and abs(value) < 2**63, "a whole number")
_TEXT = _Kind(lambda value: isinstance(value, str) and bool(value.strip()), "text that is not empty")
_FLAG = _Kind(lambda value: value is None or (isinstance(value, bool | int) and value in (0, 1)), "0 or 1")
_AREA = _Kind(
    lambda value: value is None or (_is_number(value, LARGEST**2) and value >= 0),
    f"a number from 0 to {LARGEST**2:.0e}",
)
_BOX = _Kind(
    lambda value: isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)),
    f"4 finite numbers x, y, width, height, at most {LARGEST:,.0f}",
)
_REQUIRED = object()


def _field(entry: Any, key: str, where: str, kind: _Kind, default: Any = _REQUIRED) -> Any:
    """Returns the value of a key, or the default.

    Raises:
      ValueError: the entry is no object, lacks the key, or has a value of another kind.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, found {shown(entry)}")
    if key not in entry and default is not _REQUIRED:
        return default
    if key not in entry:
        raise ValueError(f"{where} has no {key!r}; it must be {kind.description}")
    if not kind.accepts(entry[key]):
        raise ValueError(f"{where}.{key} must be {kind.description}, found {shown(entry[key])}")
    return entry[key]


def _folder(root: Path, path: Path) -> Path:
    """Returns the folder with the photos of a file."""
    ending = path.stem.split("_")[-1]
    candidates = (root / ending, root / "images" / ending, root / "images", root)
    return next(folder for folder in candidates if folder.is_dir())


FORMAT = Format("coco", "annotations/*.json", holds_coco, read_coco)
