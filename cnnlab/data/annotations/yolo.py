"""Reader of YOLO's text files: one per photo, with a class and a relative box on each line."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects
from cnnlab.data.targets import SPLITS, check_split_names
from cnnlab.files.listing import SUFFIXES, by_stem, list_files, warn_left_out
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

MAX_BYTES = 5_000_000
MAX_YAML_BYTES = 1_000_000  # twenty thousand names
MAX_YAML_DEPTH = 20
_YAML = (".yaml", ".yml")
BEYOND = 0.5  # of the photo's size, by which a box may reach out of it
TABLES = ("classes.txt", "obj.names", "classes.names", "data.yaml", "dataset.yaml")


def holds_yolo(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has a file of class names, and it or the folder of a split has `images` and `labels`.

    If the caller names the folder `annotations`, it only has to hold a text file.
    """
    if annotations is not None:
        return (root / annotations).is_dir() and bool(_text_files(root / annotations))
    places = (root / part for part in ("", *SPLITS))
    return any((place / "images").is_dir() and (place / "labels").is_dir() for place in places) and bool(_table(root))


def read_yolo(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads the photos of a folder with the text files of the same stems; `read_table` reads the classes.

    Each line holds a class, then the centre, width and height of a box relative to the photo. Two layouts are
    supported:

    - `root/images` and `root/labels`, each with or without folders for the splits `train`, `validation` (or `valid`,
      `val`) and `test`. This layout applies if both exist, or if the caller names one of them.
    - Otherwise `root/train/images` and `root/train/labels`, and so on for each split.

    Photos and text files may lie in subfolders of the same names. A photo without a text file, or with an empty one,
    has no objects. A line with six or more coordinates is a polygon, x and y in turn, and becomes its tight box, unless
    `data.yaml` says by `kpt_shape` that key points follow the box: these are not read.

    Args:
      root: the folder.
      annotations: name of the folder of text files within it, if it is not `labels`.
      photos: name of the folder of photos within it, if it is not `images`.

    Raises:
      ValueError: no file has the class names, a line does not hold one of these classes and finite numbers, a text file
        has no photo, no photo has an object, or a folder of photos has no folder of text files.
    """
    if (table := _table(root)) is None:
        raise ValueError(f"{root} needs {TABLES[0]}, one class per line in the order of their numbers, or data.yaml")
    classes, points = read_table(table), _key_points(root)
    objects, split = [], []
    places = _places(root, annotations, photos)
    for part, images, texts in places:
        files = list_files(images)
        texts_of = _text_files(texts)
        warn_left_out(images, [path for path in files.others if path not in texts_of.values()])
        stems = by_stem(files.images, images)
        for stem, text in texts_of.items():
            if stem not in stems and text.name not in TABLES:
                raise ValueError(f"{text} names a photo that is missing in {images}; add it or remove the file")
        objects += [_objects(path, texts_of.get(stem), classes, points) for stem, path in stems.items()]
        split += [part] * len(stems)
    _warn_beside_splits(places)
    if not objects:
        raise ValueError(f"{root / (photos or '')} holds no image; looked for {', '.join(SUFFIXES)}")
    if not any(photo.names for photo in objects):
        folders = ", ".join(str(texts) for _, _, texts in places)
        raise ValueError(
            f"no photo of {root} has an object: looked in {folders} for text files with the photos' names, one line an "
            "object: a class, then centre, width and height as shares of the photo"
        )
    return Annotations(objects, None if None in split else split, classes, {})


def _text_files(folder: Path) -> dict[str, Path]:
    """Returns the text files below a folder by their path without suffix."""
    return by_stem([path for path in list_files(folder).others if path.suffix.lower() == ".txt"], folder)


def _warn_beside_splits(places: Sequence[tuple[str | None, Path, Path]]) -> None:
    """Warns of photos that lie beside the folders of the splits, and so belong to none."""
    for above in {images.parent for part, images, _ in places if part is not None and images.name in SPLITS}:
        others = [path for path in list_files(above).images if path.relative_to(above).parts[0] not in SPLITS]
        warn_left_out(above, others, kind="photo of a split")


def _places(root: Path, labels: str | None, photos: str | None) -> list[tuple[str | None, Path, Path]]:
    """Returns each split with its folders of photos and text files; the split is None if there are no splits."""
    images, texts = root / (photos or "images"), root / (labels or "labels")
    if labels or photos or (images.is_dir() and texts.is_dir()):
        check_split_names(images)
        pairs = {name: (images / name, texts / name) for name in SPLITS}
        whole = [(None, images, texts)]
    else:
        check_split_names(root)
        pairs = {name: (root / name / "images", root / name / "labels") for name in SPLITS}
        whole = []
    places = [(SPLITS[name], *pair) for name, pair in pairs.items() if any(map(Path.is_dir, pair))] or whole
    for _, *pair in places:
        for folder, other in (pair, pair[::-1]):
            if not folder.is_dir():
                raise ValueError(f"{folder} is no folder; add it, or remove {other}")
    return places


def _table(root: Path) -> Path | None:
    """Returns the first file of class names: in the folder before its `labels`, text before YAML."""
    places = (folder / name for folder in (root, root / "labels") for name in TABLES)
    return next((path for path in places if path.is_file()), None)


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
    photo, size = find_photo(photo.parent, photo.name, str(text))
    height, width = size or (1, 1)
    boxes, names = [], []
    lines = [] if text is None else read_text(text, limit=MAX_BYTES, kind="label").splitlines()
    for line, row in enumerate(lines, 1):
        if not row.strip():
            continue
        k, numbers = _numbers(row, len(classes), points, f"{text} line {line}")
        x1, y1, x2, y2 = _corners(numbers)
        boxes.append((x1 * width, y1 * height, x2 * width, y2 * height))
        names.append(classes[k])
    return Objects(photo, size, np.array(boxes, np.float64).reshape(-1, 4), tuple(names), str(text or photo))


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
            "divide pixels by the photo's size, and say by kpt_shape in data.yaml that lines hold key points"
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
    "labels and images (also in train, valid, test) with classes.txt or data.yaml",
    holds_yolo,
    read_yolo,
)
