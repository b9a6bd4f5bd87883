"""Reader of Pascal VOC's boxes: one XML file per photo.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit.
"""

import math
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, stated_size
from cnnlab.data.targets import SPLITS
from cnnlab.files.listing import by_stem, list_files, warn_left_out
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

MAX_BYTES = 5_000_000  # far more than a file of a hundred objects needs
_FLAGS = {"0": False, "false": False, "unspecified": False, "": False, "1": True, "true": True}
MAX_LIST_BYTES = 100_000_000  # a million names take about 20 MB


def holds_voc(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has `Annotations/*.xml`, or whether its folder `annotations` has any XML file."""
    return bool(_files(root / (annotations or "Annotations")))


def read_voc(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads `Annotations/*.xml`, or only the files that `ImageSets/Main/train.txt`, `val.txt` and `test.txt` name.

    VOC counts pixels from 1 and includes the last one. A box therefore becomes `[xmin - 1, ymin - 1, xmax, ymax]`, from
    the left edge of its first pixel to the right edge of its last. Without `train.txt`, the names of `trainval.txt`
    that are in no other list are `train`.

    Args:
      root: the folder.
      annotations: name of the folder of XML files within it, if it is not `Annotations`.
      photos: name of the folder of photos within it, if it is not `JPEGImages`.

    Raises:
      ValueError: a file is damaged, has a document type or entities, or names no existing photo, or a photo is in two
        splits.
    """
    place = root / (annotations or "Annotations")
    files = _files(place)
    lists = root / "ImageSets" / "Main"
    splits = read_lists(lists, files)
    for name in splits:
        if name not in files:
            raise ValueError(f"{lists} names {name!r}, but there is no {place / name}.xml; add it or remove the line")
    if not files:
        raise ValueError(f"{place} holds no *.xml; name the folder of annotations by --data.annotations")
    chosen = list(splits or files)
    parents = [str(PurePosixPath(name).parent) for name in chosen]
    folder = root / (photos or "JPEGImages")
    objects = [read_xml(files[name], folder, below=parent) for name, parent in zip(chosen, parents, strict=True)]
    if splits and len(splits) < len(files):
        others = [path for name, path in files.items() if name not in splits]
        warn_left_out(place, others, kind="annotation that a list names")
    return Annotations(objects, list(splits.values()) if splits else None, None, {})


def _files(folder: Path) -> dict[str, Path]:
    """Returns the XML files below a folder by their path without suffix; none if the folder does not exist."""
    files = list_files(folder).others if folder.is_dir() else []
    return by_stem([path for path in files if path.suffix.lower() == ".xml"], folder)


def read_xml(path: Path, photos: Path, *, below: str = "") -> Objects:
    """Reads the objects of one XML file; `below` is its folder below that of annotations."""
    text = read_text(path, limit=MAX_BYTES, kind="annotation")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path} declares a document type or entities, which annotations never need; remove them")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is no well-formed XML ({error}); repair or remove it") from error
    photo, size = find_photo(photos, (root.findtext("filename") or path.stem).strip(), str(path), below=below)
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
    return Objects(photo, size, boxes, tuple(names), str(path), difficult=np.array(difficult, bool), stated_size=stated)


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


FORMAT = Format("voc", "Annotations/*.xml with JPEGImages", holds_voc, read_voc)
