"""Reader of COCO's boxes: one JSON file for many photos.

Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; format at cocodataset.org.
"""

import json
import math
from pathlib import Path

import numpy as np

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, read_bounded, stated_size

MAX_BYTES = 600_000_000  # enough for COCO's own training file
SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}


def holds_coco(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has `annotations/*.json`, or whether `annotations` within it is or holds a JSON file."""
    if annotations is None:
        return any((root / "annotations").glob("*.json"))
    path = root / annotations
    return path.suffix == ".json" if path.is_file() else any(path.glob("**/*.json"))


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
    files = [place] if place.is_file() else sorted(place.glob("instances_*.json")) or sorted(place.glob("*.json"))
    tables = {path: load_coco(path) for path in files}
    categories: dict[int, str] = {}
    for path, table in tables.items():
        for category in table["categories"]:
            number, name = _entry(category, "id", path), str(_entry(category, "name", path))
            if categories.setdefault(number, name) != name:
                raise ValueError(f"{path}: category {number} is {name!r} here, {categories[number]!r} before")
            if name in (others := [other for key, other in categories.items() if key != number]):
                raise ValueError(f"{path}: {others.count(name) + 1} categories are called {name!r}; give each its name")
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


def load_coco(path: Path) -> dict:
    """Loads a JSON file and checks that it holds COCO's three lists."""
    try:
        table = json.loads(read_bounded(path, MAX_BYTES))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); repair it") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(table, dict) or not isinstance(table.get(key), list):
            raise ValueError(f"{path} must hold an object with the lists images, annotations, categories; no {key!r}")
    return table


def _objects(path: Path, table: dict, categories: dict[int, str], photos: Path) -> list[Objects]:
    """Returns the objects of each photo in the file."""
    inside: dict[int, list[tuple[list[float], str, bool, float]]] = {}
    for image in table["images"]:
        if _entry(image, "id", path) in inside:
            raise ValueError(f"{path}: the image id {image['id']} occurs twice; make ids unique")
        inside[image["id"]] = []
    for annotation in table["annotations"]:
        image, category, box = (_entry(annotation, key, path) for key in ("image_id", "category_id", "bbox"))
        if image not in inside or category not in categories:
            raise ValueError(f"{path}: an annotation has image_id {image}, category_id {category}; no such entry")
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise ValueError(f"{path}: bbox must be 4 finite numbers x, y, width, height, found {box}")
        x, y, w, h = box
        area = annotation.get("area")
        size = float(area) if _is_number(area) else math.nan
        inside[image].append(([x, y, x + w, y + h], categories[category], bool(annotation.get("iscrowd")), size))
    out = []
    for image in table["images"]:
        photo, size = find_photo(photos, str(_entry(image, "file_name", path)), str(path))
        boxes, names, crowd, area = zip(*inside[image["id"]], strict=True) if inside[image["id"]] else [()] * 4
        boxes = np.array(boxes, np.float64).reshape(-1, 4)
        marks = {"crowd": np.array(crowd, bool), "area": np.array(area, np.float64)}
        marks["stated_size"] = stated_size(image.get("height"), image.get("width"))
        out.append(Objects(photo, size, boxes, names, str(path), **marks))
    return out


def _entry(entry: dict, key: str, path: Path):
    """Returns the value of a key; raises `ValueError` if the entry lacks it."""
    if not isinstance(entry, dict) or key not in entry:
        raise ValueError(f"{path}: an entry has no {key!r}: {str(entry)[:80]}")
    return entry[key]


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _folder(root: Path, path: Path) -> Path:
    """Returns the folder with the photos of a file."""
    ending = path.stem.split("_")[-1]
    candidates = (root / ending, root / "images" / ending, root / "images", root)
    return next(folder for folder in candidates if folder.is_dir())


FORMAT = Format("coco", "annotations/*.json", holds_coco, read_coco)
