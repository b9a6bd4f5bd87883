"""Pascal VOC: one XML file a photo.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit.
"""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cnnlab.data.annotations.format import Format
from cnnlab.data.annotations.photos import find_photo
from cnnlab.data.annotations.record import Annotations, Objects, read_bounded, stated_size

MAX_BYTES = 5_000_000  # an XML of a hundred objects has 40 kB
SPLIT_FILES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def holds_voc(root: Path, annotations: str | None = None) -> bool:
    """Returns whether a folder has `Annotations/*.xml`, or the given one of annotations any XML."""
    return any((root / "Annotations").glob("*.xml") if annotations is None else (root / annotations).glob("**/*.xml"))


def read_voc(root: Path, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads `Annotations/*.xml`, or those that `ImageSets/Main/train.txt`, `val.txt` and `test.txt` name.

    VOC counts pixels from 1 and includes the last one, so a box becomes `[xmin - 1, ymin - 1, xmax, ymax]`: from its
    first pixel's left edge to its last one's right edge. `trainval.txt` is `train` where there is no `train.txt`.

    Args:
      root: the folder.
      annotations: the folder of XML files within it, if it is not `Annotations`.
      photos: the folder of photos within it, if it is not `JPEGImages`.

    Raises:
      ValueError: a file is damaged, has a document type or entities, names no photo, or lies in two splits.
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
    """One file's objects."""
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
        # Reversed corners stay reversed, so that the rule for them sees it; the pixel is added on the larger side.
        (x1, x2), (y1, y2) = ((a - 1, b) if a <= b else (a, b - 1) for a, b in ((x1, x2), (y1, y2)))
        boxes.append((x1, y1, x2, y2))
        names.append(name)
        difficult.append((entry.findtext("difficult") or "0").strip() == "1")
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    stated = stated_size(root.findtext("size/height"), root.findtext("size/width"))
    return Objects(photo, size, boxes, tuple(names), str(path), difficult=np.array(difficult, bool), stated_size=stated)


def _number(entry: ElementTree.Element, side: str, path: Path) -> float:
    text = entry.findtext(f"bndbox/{side}")
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}: <{side}> must be a finite number, found {text!r}")
    return value


def read_lists(lists: Path) -> dict[str, str]:
    """Returns the split of every name that `train.txt`, `val.txt` and `test.txt` of a folder list.

    The first word of a line counts: lists of one class add a 1 or -1. `trainval.txt` is `train` if neither `train.txt`
    nor `val.txt` exists. Without any list the result is empty.

    Raises:
      ValueError: a name lies in two splits.
    """
    files = {name: split for name, split in SPLIT_FILES.items() if (lists / f"{name}.txt").is_file()}
    if "train" not in files and (lists / "trainval.txt").is_file() and "val" not in files:
        files["trainval"] = "train"
    out: dict[str, str] = {}
    for name, split in files.items():
        for line in read_bounded(lists / f"{name}.txt", MAX_BYTES).splitlines():
            if not line.strip():
                continue
            one = line.split()[0]
            if out.setdefault(one, split) != split:
                raise ValueError(f"{lists / name}.txt: {one!r} is of the split {out[one]} already; keep it in one")
    return out


FORMAT = Format("voc", "Annotations/*.xml with JPEGImages", holds_voc, read_voc)
