"""Reader of Pascal VOC's boxes: one XML file per photo.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit.
"""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, read_bounded, stated_size

MAX_BYTES = 5_000_000  # far more than a file of a hundred objects needs
SPLIT_FILES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def holds_voc(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has `Annotations/*.xml`, or whether its folder `annotations` has any XML file."""
    return any((root / "Annotations").glob("*.xml") if annotations is None else (root / annotations).glob("**/*.xml"))


def read_voc(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads `Annotations/*.xml`, or only the files that `ImageSets/Main/train.txt`, `val.txt` and `test.txt` name.

    VOC counts pixels from 1 and includes the last one. A box therefore becomes `[xmin - 1, ymin - 1, xmax, ymax]`, from
    the left edge of its first pixel to the right edge of its last. `trainval.txt` counts as `train` if neither
    `train.txt` nor `val.txt` exists.

    Args:
      root: the folder.
      annotations: name of the folder of XML files within it, if it is not `Annotations`.
      photos: name of the folder of photos within it, if it is not `JPEGImages`.

    Raises:
      ValueError: a file is damaged, has a document type or entities, or names no existing photo, or a photo is in two
        splits.
    """
    place = root / (annotations or "Annotations")
    splits = read_lists(root / "ImageSets" / "Main")
    if splits:
        paths = [(place / f"{name}.xml", split) for name, split in splits.items()]
    else:
        paths = [(path, None) for path in sorted(place.glob("*.xml"))]
    if not paths:
        raise ValueError(f"{place} holds no *.xml; name the folder of annotations by --data.annotations")
    objects = [read_xml(path, root / (photos or "JPEGImages")) for path, _ in paths]
    return Annotations(objects, [split for _, split in paths] if splits else None, None, {})


def read_xml(path: Path, photos: Path) -> Objects:
    """Reads the objects of one XML file."""
    text = read_bounded(path, MAX_BYTES)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path} declares a document type or entities, which annotations never need; remove them")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is no well-formed XML ({error}); repair or remove it") from error
    photo, size = find_photo(photos, (root.findtext("filename") or path.stem).strip(), str(path))
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
        difficult.append((entry.findtext("difficult") or "0").strip() == "1")
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


def read_lists(lists: Path) -> dict[str, str]:
    """Reads `train.txt`, `val.txt` and `test.txt` of a folder and returns the split of every name in them.

    Only the first word of a line counts, because lists of one class add a 1 or -1. `trainval.txt` counts as `train` if
    neither `train.txt` nor `val.txt` exists. Without any list the result is empty.

    Raises:
      ValueError: a name is in two splits.
    """
    files = {name: split for name, split in SPLIT_FILES.items() if (lists / f"{name}.txt").is_file()}
    if "train" not in files and (lists / "trainval.txt").is_file() and "val" not in files:
        files["trainval"] = "train"
    out: dict[str, str] = {}
    for name, split in files.items():
        for line in read_bounded(lists / f"{name}.txt", MAX_BYTES).splitlines():
            if not line.strip():
                continue
            stem = line.split()[0]
            if out.setdefault(stem, split) != split:
                raise ValueError(f"{lists / name}.txt: {stem!r} is already in the split {out[stem]}; keep it in one")
    return out


FORMAT = Format("voc", "Annotations/*.xml with JPEGImages", holds_voc, read_voc)
