"""Reader of YOLO's text files: one per photo, with a class and a relative box on each line."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import yaml

from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, polygons
from cnnlab.data.annotations.survey import Survey, find_photo, first_bytes, mentions, photo_size, split_of
from cnnlab.data.targets import SPLITS, check_split_names
from cnnlab.files.listing import SUFFIXES, by_stem, has_image_suffix, list_files, warn_left_out
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

MAX_BYTES = 5_000_000
MAX_LIST_BYTES = 100_000_000  # a million paths
_LINE = 4096  # bytes of a list's first line
MAX_YAML_BYTES = 1_000_000  # twenty thousand names
MAX_YAML_DEPTH = 20
_YAML = (".yaml", ".yml")
BEYOND = 0.5  # of the photo's size, by which a box may reach out of it
TABLES = ("classes.txt", "obj.names", "classes.names", "data.yaml", "dataset.yaml")


def find_yolo(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the file of class names if photos and text files lie in one of the layouts of `read_yolo`.

    If the user restricts the annotations to a folder, it only has to hold a text file.
    """
    if within is not None:
        return found.ending(".txt", below=within)[:1]
    table = _table(found)
    return [table] if table is not None and _places(found, table, Reading()) else []


def read_yolo(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads photos with the text files of the same stems; `read_table` reads the classes.

    Each line holds a class, then the centre, width and height of a box relative to the photo. A line with six or more
    coordinates is an outline, x and y in turn, with its tight box (an oriented box is one of four corners), unless
    `data.yaml` says by `kpt_shape` that key points follow the box: these are not read. The first of these layouts that
    a folder has applies:

    - `images` and `labels` with folders for the splits `train`, `validation` (or `valid`, `val`) and `test`.
    - `train/images` and `train/labels`, and so on for each split (Roboflow).
    - The folders or lists that `data.yaml` names as `train`, `val` and `test`, as far as they lie within the folder. A
      path of another machine counts by its end.
    - `images` and `labels` without splits (Label Studio).
    - `train.txt`, `valid.txt` and `test.txt`, which list photos (CVAT, Darknet).
    - Photos and text files side by side, with or without folders for the splits (LabelImg).

    Photos and text files may lie in subfolders of the same names. A photo without a text file, or with an empty one,
    has no objects.

    Raises:
      ValueError: no file has the class names, a line does not hold one of these classes and finite numbers, a text file
        has no photo, no photo has an object, or a folder of photos has no folder of text files.
    """
    root = found.root
    if (table := _table(found)) is None:
        raise ValueError(f"{root} needs {TABLES[0]}, one class per line in the order of their numbers, or data.yaml")
    classes, points = read_table(table), _key_points(root)
    objects, split = [], []
    places = _places(found, table, reading)
    for place in places:
        pairs = place.listed if place.listed is not None else _pairs(place)
        objects += [_objects(photo, text, classes, points) for photo, text in pairs]
        split += [place.split] * len(pairs)
    _warn_beside_splits(places)
    if not objects:
        raise ValueError(f"{reading.photos or root} holds no image; looked for {', '.join(SUFFIXES)}")
    if not any(photo.names for photo in objects):
        folders = ", ".join(str(place.labels) for place in places)
        raise ValueError(
            f"no photo of {root} has an object: looked in {folders} for text files with the photos' names, one line an "
            "object: a class, then centre, width and height as shares of the photo"
        )
    return Annotations(objects, None if None in split else split, classes, {})


class _Place(NamedTuple):
    """The photos and text files of a split.

    Attributes:
      split: the split; None if there are no splits.
      photos: the folder of photos.
      labels: the folder of text files.
      listed: each photo with its text file or None, if they are known; otherwise all in the two folders.
    """

    split: str | None
    photos: Path
    labels: Path
    listed: list[tuple[Path, Path | None]] | None = None


def _pairs(place: _Place) -> list[tuple[Path, Path | None]]:
    """Returns the photos of a folder, each with the text file of its stem in the other folder.

    Raises:
      ValueError: a text file has no photo, or two files have one stem.
    """
    files, texts = list_files(place.photos), _text_files(place.labels)
    warn_left_out(place.photos, [path for path in files.others if path not in texts.values()])
    stems = by_stem(files.images, place.photos)
    for stem, text in texts.items():
        if stem not in stems and text.name not in TABLES:
            raise ValueError(f"{text} names a photo that is missing in {place.photos}; add it or remove the file")
    return [(path, texts.get(stem)) for stem, path in stems.items()]


def _text_files(folder: Path) -> dict[str, Path]:
    """Returns the text files below a folder by their path without suffix."""
    return by_stem([path for path in list_files(folder).others if path.suffix.lower() == ".txt"], folder)


def _warn_beside_splits(places: Sequence[_Place]) -> None:
    """Warns of photos that lie beside the folders of the splits, and so belong to none."""
    folders = [place.photos for place in places if place.split is not None and place.listed is None]
    for above in {folder.parent for folder in folders if folder.name in SPLITS}:
        others = [path for path in list_files(above).images if path.relative_to(above).parts[0] not in SPLITS]
        warn_left_out(above, others, kind="photo of a split")


def _places(found: Survey, table: Path, reading: Reading) -> list[_Place]:
    """Returns the places of photos and text files in the first layout that a folder has; none if it has no layout."""
    root = found.root
    images, texts = reading.photos or root / "images", reading.annotations or root / "labels"
    whole = bool(reading.photos or reading.annotations) or (images.is_dir() and texts.is_dir())
    places = _of_splits({name: (images / name, texts / name) for name in SPLITS}) if whole else []
    if not places and not whole:
        places = _of_splits({name: (root / name / "images", root / name / "labels") for name in SPLITS})
    if not places and table.suffix.lower() in _YAML and (named := _of_yaml(found, table)):
        return named
    if whole or places:
        check_split_names(images if whole else root)
        return places or [_Place(None, images, texts)]
    return _of_lists(found) or _side_by_side(found)


def _of_splits(pairs: Mapping[str, tuple[Path, Path]]) -> list[_Place]:
    """Returns the splits of which both folders exist; none if no folder of labels exists.

    Raises:
      ValueError: only one of a split's two folders exists.
    """
    places = [_Place(SPLITS[name], *pair) for name, pair in pairs.items() if any(map(Path.is_dir, pair))]
    if not any(place.labels.is_dir() for place in places):
        return []
    for place in places:
        for folder, other in ((place.photos, place.labels), (place.labels, place.photos)):
            if not folder.is_dir():
                raise ValueError(f"{folder} is no folder; add it, or remove {other}")
    return places


def _of_yaml(found: Survey, table: Path) -> list[_Place]:
    """Returns the folders and lists that a YAML file names as `train`, `val` and `test` and that lie in the folder."""
    content = _read_yaml(table)
    content = content if isinstance(content, dict) else {}
    places: list[_Place] = []
    for key, split in SPLITS.items():
        named = content.get(key)
        for name in named if isinstance(named, list) else [named]:
            place = _inside(found.root, name) if isinstance(name, str) else None
            if place is None or place in [other.photos for other in places]:
                continue
            if place.is_file():
                places.append(_Place(split, place, place, _listed(found, place)))
            elif (labels := _counterpart(place)).is_dir():
                listed = _beside(found, place) if labels == place else None
                places.append(_Place(split, place, labels, listed))
    return places if any(place.split == "train" for place in places) else []


def _inside(root: Path, name: str) -> Path | None:
    """Returns the folder or list of photos within the root with the longest end of a path; None without any.

    The path may be absolute, of another machine, or lead out of the folder first.
    """
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in ends if path.is_dir() or (path.suffix == ".txt" and path.is_file())), None)


def _counterpart(folder: Path) -> Path:
    """Returns the folder of text files of a folder of photos: `labels` for the last `images`, or the same folder."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        if (labels := Path(*parts)).is_dir():
            return labels
    return folder


def _of_lists(found: Survey) -> list[_Place]:
    """Returns the photos that `train.txt`, `valid.txt` and `test.txt` list."""
    lists = [(split, found.root / f"{name}.txt") for name, split in SPLITS.items()]
    lists = [(split, path) for split, path in lists if path.is_file() and _lists_photos(path)]
    return [_Place(split, path, path, _listed(found, path)) for split, path in lists]


def _lists_photos(path: Path) -> bool:
    """Returns whether the first line of a text file is the path of a photo."""
    lines = first_bytes(path, _LINE).decode("utf-8", "replace").splitlines()
    return bool(lines) and has_image_suffix(lines[0].strip())


def _listed(found: Survey, path: Path) -> list[tuple[Path, Path | None]]:
    """Returns the photos that a text file lists, one a line, each with its text file or None."""
    lines = read_text(path, limit=MAX_LIST_BYTES, kind="list").splitlines()
    folders = [found.root, path.parent]
    photos = [
        find_photo(found, line.strip(), f"{path} line {i}", folders) for i, line in enumerate(lines, 1) if line.strip()
    ]
    return _with_texts(found, photos)


def _side_by_side(found: Survey) -> list[_Place]:
    """Returns the folders in which a text file has the stem of a photo beside it."""
    stems = {path.with_suffix("") for path in found.images}
    folders = sorted({path.parent for path in found.ending(".txt") if path.with_suffix("") in stems})
    return [_Place(split_of(folder / "-", found.root), folder, folder, _beside(found, folder)) for folder in folders]


def _beside(found: Survey, folder: Path) -> list[tuple[Path, Path | None]]:
    """Returns the photos directly in a folder, each with the text file beside it or None."""
    return _with_texts(found, by_stem([path for path in found.images if path.parent == folder], folder).values())


def _with_texts(found: Survey, photos: Iterable[Path]) -> list[tuple[Path, Path | None]]:
    """Returns photos with their text files: in the counterpart of their folder, or beside them."""
    texts = {path.with_suffix(""): path for path in found.ending(".txt")}
    return [(path, texts.get((_counterpart(path.parent) / path.name).with_suffix(""))) for path in photos]


def _table(found: Survey) -> Path | None:
    """Returns the first file of class names: in the folder before its `labels`, text before YAML, known names first."""
    places = (folder / name for folder in (found.root, found.root / "labels") for name in TABLES)
    others = (
        path for path in found.ending(*_YAML) if path.parent == found.root and mentions(path, [b"names", b"train"])
    )
    return next((path for path in places if path.is_file()), None) or next(others, None)


def read_table(path: Path) -> tuple[str, ...]:
    """Reads the class names in the order of their numbers: one per line, or the `names` of a YAML file.

    `names` is a list, or a mapping of numbers to names (`{0: cat, 1: dog}`). The folders that a YAML file names as
    `path`, `train` or `val` are ignored, because they are often those of another machine.

    Raises:
      ValueError: there is no name, a name occurs twice, a number is left out, or the file is not valid.
    """
    if path.suffix.lower() in _YAML:
        names = _yaml_names(path)
    else:
        names = [line for line in read_text(path, limit=MAX_BYTES, kind="table").splitlines() if line.strip()]
    names = tuple(name.strip() for name in names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path} must hold one class or more, each once, found {', '.join(names)[:80] or 'nothing'}")
    return names


def _yaml_names(path: Path) -> list[str]:
    """Reads the `names` of a YAML file in the order of their numbers."""
    table = _read_yaml(path)
    names = table.get("names") if isinstance(table, dict) else None
    if isinstance(names, dict):
        numbers = list(names)
        if any(type(number) is not int for number in numbers) or sorted(numbers) != list(range(len(numbers))):
            raise ValueError(f"{path}: names must be numbered 0, 1, 2, ... without gaps, found {shown(numbers)}")
        names = [names[number] for number in range(len(numbers))]
    if not isinstance(names, list):
        raise ValueError(f"{path} must hold names: [cat, dog, ...] or {{0: cat, 1: dog, ...}}, found {shown(table)}")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: a name must be text, found {shown(name)}; put it in quotes")
    return names


def _read_yaml(path: Path) -> Any:
    """Reads a small YAML file: no aliases, which can expand beyond any memory, and no deep nesting."""
    text = read_text(path, limit=MAX_YAML_BYTES, kind="YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is many times faster
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases are not read, write them out")
            if depth > MAX_YAML_DEPTH:
                raise ValueError(f"it is nested more than {MAX_YAML_DEPTH} deep")
        return yaml.load(text, Loader=loader)
    except Exception as error:  # a wrong tag or number may raise IndexError, KeyError, AttributeError and others
        raise ValueError(f"cannot read {path} as YAML ({shown(str(error))}); repair it") from error


def _key_points(root: Path) -> int:
    """Returns how many numbers of key points follow the box on each line: `kpt_shape` of a YAML file, or none.

    The file may have any name, because the user may name it as the table of classes.
    """
    folders = [folder for folder in (root, root / "labels") if folder.is_dir()]
    others = [path for folder in folders for path in list_files(folder, deep=False).others]
    for path in (path for path in others if path.suffix.lower() in _YAML and _mentions_key_points(path)):
        table = _read_yaml(path)
        shape = table.get("kpt_shape") if isinstance(table, dict) else None
        if shape is None:
            continue
        if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 1 <= n <= 1000 for n in shape)):
            raise ValueError(f"{path}: kpt_shape must be two whole numbers, such as [17, 3], found {shown(shape)}")
        return shape[0] * shape[1]
    return 0


def _mentions_key_points(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= MAX_YAML_BYTES and b"kpt_shape" in path.read_bytes()


def _objects(photo: Path, text: Path | None, classes: tuple[str, ...], points: int) -> Objects:
    """Reads the objects of one photo from its text file, if it has one."""
    size = photo_size(photo)
    height, width = size or (1, 1)
    boxes, names, outlines = [], [], []
    lines = [] if text is None else read_text(text, limit=MAX_BYTES, kind="label").splitlines()
    for line, row in enumerate(lines, 1):
        if not row.strip():
            continue
        k, numbers = _numbers(row, len(classes), points, f"{text} line {line}")
        x1, y1, x2, y2 = _corners(numbers)
        boxes.append((x1 * width, y1 * height, x2 * width, y2 * height))
        names.append(classes[k])
        scaled = [number * (height if i % 2 else width) for i, number in enumerate(numbers)]
        outlines.append(polygons([scaled]) if len(numbers) > 4 else None)
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    drawn = tuple(outlines) if any(outline is not None for outline in outlines) else None
    return Objects(photo, size, boxes, tuple(names), str(text or photo), outlines=drawn)


def _numbers(row: str, classes: int, points: int, where: str) -> tuple[int, list[float]]:
    """Returns the class of a line, and the numbers of its box or polygon.

    Raises:
      ValueError: the line has another form, or its numbers are no shares of the photo's size.
    """
    try:
        k, *numbers = map(float, row.split())
    except ValueError:
        k, numbers = math.nan, []
    count = len(numbers)
    if points and count == 4 + points:
        numbers = numbers[:4]
    fits = count in (4, 4 + points) if points else count == 4 or (count >= 6 and count % 2 == 0)
    if not fits or not all(map(math.isfinite, (k, *numbers))) or k != int(k) or not 0 <= k < classes:
        form = f"and {points} numbers of key points" if points else "or 6, 8, ... of a polygon"
        raise ValueError(f"{where}: must be a class 0..{classes - 1} and 4 finite numbers, {form}, found {row[:60]!r}")
    if strange := [number for number in numbers if not -BEYOND <= number <= 1 + BEYOND]:
        raise ValueError(
            f"{where}: coordinates are shares of the photo's width and height, 0..1, found {strange[0]:g}; "
            "divide pixels by the photo's size, remove the confidence and the track behind a box, or say by kpt_shape "
            "in data.yaml that lines hold key points"
        )
    return int(k), numbers


def _corners(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    """Converts the numbers of a line, a centre and a size or a polygon, to the corners of the tight box.

    >>> _corners([0.5, 0.5, 0.5, 1]), _corners([0.25, 0, 0.75, 0.5, 0.5, 1])
    ((0.25, 0.0, 0.75, 1.0), (0.25, 0, 0.75, 1))
    """
    if len(numbers) == 4:
        x, y, w, h = numbers
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


FORMAT = Format(
    "yolo",
    "labels and images (also in train, valid, test), or text files beside the photos, with classes.txt or data.yaml "
    "(YOLO)",
    find_yolo,
    read_yolo,
)
