"""Reader of YOLO's text files: one per photo, with a class and a relative box on each line."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, read_bounded
from cnnlab.data.targets import SPLITS
from cnnlab.files.images import SUFFIXES

MAX_BYTES = 5_000_000
TABLES = ("classes.txt", "obj.names", "classes.names", "data.yaml", "dataset.yaml")


def holds_yolo(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has a file of class names, and it or the folder of a split has `images` and `labels`.

    If the caller names the folder `annotations`, it only has to hold a text file.
    """
    if annotations is not None:
        return any((root / annotations).glob("**/*.txt"))
    places = (root / part for part in ("", *SPLITS))
    return any((place / "images").is_dir() and (place / "labels").is_dir() for place in places) and bool(_table(root))


def read_yolo(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads the photos of a folder with the text files of the same stems; `read_table` reads the classes.

    Each line holds a class, then the centre, width and height of a box relative to the photo. Two layouts are
    supported:

    - `root/images` and `root/labels`, each with or without folders for the splits `train`, `validation` (or `valid`,
      `val`) and `test`. This layout applies if both exist, or if the caller names one of them.
    - Otherwise `root/train/images` and `root/train/labels`, and so on for each split.

    A photo without a text file, or with an empty one, has no objects. A line with six or more coordinates is a polygon,
    x and y in turn, and becomes its tight box. Files of key points are not supported, because some of their lines look
    the same.

    Args:
      root: the folder.
      annotations: name of the folder of text files within it, if it is not `labels`.
      photos: name of the folder of photos within it, if it is not `images`.

    Raises:
      ValueError: no file has the class names, a line does not hold one of these classes and finite numbers, a text file
        has no photo, or a folder of photos has no folder of text files.
    """
    if (table := _table(root)) is None:
        raise ValueError(f"{root} needs {TABLES[0]}, one class per line in the order of their numbers, or data.yaml")
    classes = read_table(table)
    objects, split = [], []
    for part, images, texts in _places(root, annotations, photos):
        files = sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)
        stems = {path.stem for path in files}
        for text in sorted(texts.glob("*.txt")):
            if text.stem not in stems and text.name not in TABLES:
                raise ValueError(f"{text} names a photo that is missing in {images}; add it or remove the file")
        objects += [_objects(path, texts / f"{path.stem}.txt", classes) for path in files]
        split += [part] * len(files)
    if not objects:
        raise ValueError(f"{root / (photos or '')} holds no image; looked for {', '.join(SUFFIXES)}")
    return Annotations(objects, None if None in split else split, classes, {})


def _places(root: Path, labels: str | None, photos: str | None) -> list[tuple[str | None, Path, Path]]:
    """Returns each split with its folders of photos and text files; the split is None if there are no splits."""
    images, texts = root / (photos or "images"), root / (labels or "labels")
    if labels or photos or (images.is_dir() and texts.is_dir()):
        pairs = {name: (images / name, texts / name) for name in SPLITS}
        whole = [(None, images, texts)]
    else:
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
    if path.suffix in (".yaml", ".yml"):
        names = _yaml_names(path)
    else:
        names = [line for line in read_bounded(path, MAX_BYTES).splitlines() if line.strip()]
    names = tuple(name.strip() for name in names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path} must hold one class or more, each once, found {', '.join(names) or 'nothing'}")
    return names


def _yaml_names(path: Path) -> list[str]:
    """Reads the `names` of a YAML file in the order of their numbers."""
    text = read_bounded(path, MAX_BYTES)
    try:
        # Nested aliases on a few lines can expand beyond any memory.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("aliases are not read, write them out")
        table = yaml.safe_load(text)
    except Exception as error:  # a wrong tag or number may raise IndexError, KeyError, AttributeError and others
        raise ValueError(f"cannot read {path} as YAML ({error}); repair it") from error
    names = table.get("names") if isinstance(table, dict) else None
    if isinstance(names, dict):
        numbers = list(names)
        if any(type(number) is not int for number in numbers) or sorted(numbers) != list(range(len(numbers))):
            raise ValueError(f"{path}: names must be numbered 0, 1, 2, ... without gaps, found {str(numbers)[:80]}")
        names = [names[number] for number in range(len(numbers))]
    if not isinstance(names, list):
        raise ValueError(f"{path} must hold names: [cat, dog, ...] or {{0: cat, 1: dog, ...}}, found {str(table)[:60]}")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: a name must be text, found {str(name)[:80]!r}; put it in quotes")
    return names


def _objects(photo: Path, text: Path, classes: tuple[str, ...]) -> Objects:
    """Reads the objects of one photo from its text file."""
    photo, size = find_photo(photo.parent, photo.name, str(text))
    height, width = size or (1, 1)
    boxes, names = [], []
    for line, row in enumerate(read_bounded(text, MAX_BYTES).splitlines() if text.is_file() else (), 1):
        if not row.strip():
            continue
        try:
            k, *numbers = map(float, row.split())
        except ValueError:
            k, numbers = math.nan, []
        count = len(numbers)
        fits = count == 4 or (count >= 6 and count % 2 == 0)
        if not fits or not all(map(math.isfinite, (k, *numbers))) or k != int(k) or not 0 <= k < len(classes):
            raise ValueError(
                f"{text} line {line}: must be a class 0..{len(classes) - 1} and 4 finite numbers, "
                f"or 6, 8, ... of a polygon, found {row[:60]!r}"
            )
        x1, y1, x2, y2 = _corners(numbers)
        boxes.append((x1 * width, y1 * height, x2 * width, y2 * height))
        names.append(classes[int(k)])
    return Objects(photo, size, np.array(boxes, np.float64).reshape(-1, 4), tuple(names), str(text))


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
