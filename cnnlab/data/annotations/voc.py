"""Reader of Pascal VOC's boxes: one XML file per photo.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit.
"""

import math
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from cnnlab.data.annotations.format import Format, Reading
from cnnlab.data.annotations.record import Annotations, Objects, stated_size
from cnnlab.data.annotations.survey import Survey, find_photo, first_bytes, photo_size, split_of
from cnnlab.data.targets import SPLITS
from cnnlab.files.listing import by_stem, list_files, warn_left_out
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

MAX_BYTES = 5_000_000  # far more than a file of a hundred objects needs
_FLAGS = {"0": False, "false": False, "unspecified": False, "": False, "1": True, "true": True}
_ELEMENT = re.compile(rb"<annotation[\s/>]")
_START = 4096  # bytes in which a file's first element stands
MAX_LIST_BYTES = 100_000_000  # a million names take about 20 MB


def find_voc(found: Survey, within: Path | None = None) -> list[Path]:
    """Returns the XML files below folders called `Annotations`; without any, all that hold an `<annotation>`."""
    files = found.ending(".xml", below=within)
    named = [path for path in files if within is not None or "Annotations" in path.relative_to(found.root).parts]
    return named or [path for path in files if _is_annotation(path)]


def _is_annotation(path: Path) -> bool:
    """Returns whether a file begins with an `<annotation>`; CVAT's own XML begins with `<annotations>`."""
    return _ELEMENT.search(first_bytes(path, _START)) is not None


def read_voc(found: Survey, files: Sequence[Path], reading: Reading) -> Annotations:
    """Reads XML files, or only those that `ImageSets/Main/train.txt`, `val.txt` and `test.txt` name.

    VOC counts pixels from 1 and includes the last one. A box therefore becomes `[xmin - 1, ymin - 1, xmax, ymax]`, from
    the left edge of its first pixel to the right edge of its last. Without `train.txt`, the names of `trainval.txt`
    that are in no other list are `train`. Without lists, the split of a file is the folder of that name above it.

    Photos are searched in `JPEGImages`, beside their XML files, in `images`, and then by their names everywhere.

    Raises:
      ValueError: a file is damaged, has a document type or entities, or names no existing photo, or a photo is in two
        splits.
    """
    chosen = reading.annotations
    place = chosen if chosen is not None and chosen.is_dir() else _place(found.root, files)
    named = by_stem(files, place)
    lists = (found.root if place == found.root else place.parent) / "ImageSets" / "Main"
    splits = read_lists(lists, named)
    for name in splits:
        if name not in named:
            raise ValueError(f"{lists} names {name!r}, but there is no {place / name}.xml; add it or remove the line")
    parts = {name: split_of(path, found.root) for name, path in named.items()}
    chosen = splits or ({name: part for name, part in parts.items() if part} if any(parts.values()) else parts)
    if others := [path for name, path in named.items() if name not in chosen]:
        warn_left_out(place, others, kind="annotation that a list names" if splits else "annotation of a split")
    objects = [read_xml(named[name], found, reading.photos, below=str(PurePosixPath(name).parent)) for name in chosen]
    return Annotations(objects, list(chosen.values()) if any(chosen.values()) else None, None, {})


def _place(root: Path, files: Sequence[Path]) -> Path:
    """Returns the folder `Annotations` that holds all files, or the root if there is none, or several."""
    above = [
        {folder for folder in path.parents if folder.name == "Annotations" and root in folder.parents} for path in files
    ]
    return min(set.intersection(*above), key=lambda folder: len(folder.parts), default=root)


def read_xml(path: Path, found: Survey, photos: Path | None, *, below: str = "") -> Objects:
    """Reads the objects of one XML file; `below` is its folder below that of annotations."""
    text = read_text(path, limit=MAX_BYTES, kind="annotation")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path} declares a document type or entities, which annotations never need; remove them")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is no well-formed XML ({error}); repair or remove it") from error
    if photos is None:
        bases = [folder for folder in path.parents if folder == found.root or found.root in folder.parents]
        folders = [base / name for base in bases for name in ("JPEGImages", "images", "")]
    else:
        folders = [photos]
    folders = [place for folder in folders for place in (folder / below, folder)]
    name = (root.findtext("filename") or path.stem).strip()
    photo = find_photo(found, name, str(path), folders, strict=photos is not None)
    boxes, names, difficult = [], [], []
    for entry in root.iter("object"):
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise ValueError(f"{path}: an object has no <name>; add it or remove the object")
        x1, y1, x2, y2 = (_number(entry, side, path) for side in ("xmin", "ymin", "xmax", "ymax"))
        # Reversed corners stay reversed, so that `mend` counts them; 1 is subtracted from the smaller.
        (x1, x2), (y1, y2) = ((a - 1, b) if a <= b else (a, b - 1) for a, b in ((x1, x2), (y1, y2)))
        boxes.append((x1, y1, x2, y2))
        names.append(name)
        difficult.append(_flag(entry, "difficult", path))
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    stated = stated_size(root.findtext("size/height"), root.findtext("size/width"))
    marks = {"difficult": np.array(difficult, bool), "stated_size": stated}
    return Objects(photo, photo_size(photo), boxes, tuple(names), str(path), **marks)


def _number(entry: ElementTree.Element, side: str, path: Path) -> float:
    """Returns one side of an object's box; raises `ValueError` unless it is a finite number."""
    text = entry.findtext(f"bndbox/{side}")
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}: <{side}> must be a finite number, found {text!r}")
    return value


def _flag(entry: ElementTree.Element, name: str, path: Path) -> bool:
    """Returns a mark of an object, which is off where it is missing; raises `ValueError` unless it is 0 or 1."""
    text = (entry.findtext(name) or "0").strip().lower()
    if text not in _FLAGS:
        raise ValueError(f"{path}: <{name}> must be 0 or 1, found {shown(text)}")
    return _FLAGS[text]


def read_lists(lists: Path, known: Collection[str]) -> dict[str, str]:
    """Reads `train.txt`, `val.txt` and `test.txt` of a folder and returns the split of every name in them.

    A line is a name, which may hold spaces. Lists of one class add 1, 0 or -1 to it, which is left out unless the whole
    line is a known name. Without `train.txt`, the names of `trainval.txt` that are in no other list are `train`.
    Without any list the result is empty.

    Args:
      lists: the folder of lists.
      known: the names that exist.

    Raises:
      ValueError: a name is in two splits.
    """
    others = list_files(lists, deep=False).others if lists.is_dir() else []
    files = {path.stem.lower(): path for path in others if path.suffix.lower() == ".txt" and path.is_file()}
    out: dict[str, str] = {}
    for stem, split in SPLITS.items():
        for name in _read_list(files[stem], known) if stem in files else ():
            if out.setdefault(name, split) != split:
                raise ValueError(f"{files[stem]}: {name!r} is already in the split {out[name]}; keep it in one")
    if "train" not in files and "trainval" in files:
        train = dict.fromkeys(_read_list(files["trainval"], known), "train")
        out = {name: split for name, split in train.items() if name not in out} | out
    return out


def _read_list(path: Path, known: Collection[str]) -> list[str]:
    names = []
    for line in read_text(path, limit=MAX_LIST_BYTES, kind="list").splitlines():
        if name := unicodedata.normalize("NFC", line.strip()):
            marked = re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", name)
            names.append(marked[1] if marked and name not in known else name)
    return names


FORMAT = Format(
    "voc", "Annotations/*.xml with JPEGImages, or XML files beside the photos (Pascal VOC)", find_voc, read_voc
)
