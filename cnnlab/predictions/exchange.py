"""Writes predictions as annotations that tools import, so that people correct them instead of drawing."""

import json
import os
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from cnnlab.files.atomic import write_text
from cnnlab.files.cache import address
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage, write_png
from cnnlab.geometry.outlines import Polygons, bounds, paint
from cnnlab.plots.overlay import SURE
from cnnlab.tasks import Task
from cnnlab.tasks.task import Record, complete

_DOUBTS = ("score", "entropy", "mutual_information", "frequency")
_DIGITS = 4  # of scores and doubts

Kind = Literal["boxes", "outlines", "labels"]


class Predicted(NamedTuple):
    """A photo with the records that its task's `annotations` returns."""

    photo: Photo
    records: Sequence[Record]


def kind_of(task: Task) -> Kind:
    """Returns what a task annotates: boxes, outlines of regions, or whole photos."""
    return {"map": "outlines", "vector": "labels"}.get(complete(task).logits, "boxes")


def check_exchange(format: str, kind: Kind) -> None:
    """Raises `ValueError` if a format does not hold what a task annotates."""
    if format not in _OF_KIND[kind]:
        raise ValueError(f"format {format} holds no classes of whole photos; choose {' or '.join(_OF_KIND[kind])}")


def write_annotations(
    format: str,
    predicted: Sequence[Predicted],
    classes: Sequence[str],
    directory: Path,
    *,
    kind: Kind = "boxes",
    sure: float = SURE,
) -> Path:
    """Writes the predictions of photos in the format of an annotation tool and returns the file or folder to import.

    Args:
      format: `coco`, `yolo`, `voc`, `labelme` or `labelstudio`.
      predicted: photos with their records.
      classes: names of the classes, in order.
      directory: directory of the files, which exists or is made.
      kind: what the records are, as `kind_of` returns it.
      sure: lowest score of a box that is written; other records are all written.

    Raises:
      ValueError: two photos have one name, by which the tools would confuse them, or the format does not hold the
        records.
    """
    check_exchange(format, kind)
    names: dict[str, Path] = {}
    for photo, _ in predicted:
        if (other := names.setdefault(photo.path.stem, photo.path)) != photo.path:
            raise ValueError(f"{other} and {photo.path} have one name, which annotations need; predict them one by one")
    kept = [Predicted(photo, [r for r in own if "bbox" not in r or r["score"] >= sure]) for photo, own in predicted]
    return _OF_KIND[kind][format](kept, classes, directory)


def _box(record: Record) -> list[float]:
    """Returns x, y, width and height of a record, in pixels."""
    if "bbox" in record:
        return record["bbox"]
    left, top, right, bottom = bounds(Polygons((record["outline"],)))
    return [left, top, right - left, bottom - top]


def _doubt(record: Record) -> dict[str, float]:
    """Returns the score of a box and, over several passes, its doubts."""
    return {name: round(record[name], _DIGITS) for name in _DOUBTS if name in record}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _coco(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes one `annotations.json`; the doubts are the `attributes` of each annotation, which CVAT reads."""
    images, annotations = [], []
    for i, (photo, records) in enumerate(predicted, 1):
        height, width = photo.size
        images.append({"id": i, "file_name": photo.path.name, "width": width, "height": height})
        for record in records:
            entry = {"id": len(annotations) + 1, "image_id": i, "category_id": classes.index(record["category"]) + 1}
            box = [round(side, 2) for side in _box(record)]
            entry |= {"bbox": box, "area": record.get("pixels", round(box[2] * box[3], 2)), "iscrowd": 0}
            entry["segmentation"] = [record["outline"].ravel().tolist()] if "outline" in record else []
            annotations.append(entry | {"score": round(record["score"], _DIGITS), "attributes": _doubt(record)})
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, 1)]
    table = {"images": images, "annotations": annotations, "categories": categories}
    _write(directory / "annotations.json", json.dumps(table, indent=1) + "\n")
    return directory / "annotations.json"


def _yolo(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `labels/NAME.txt` and `classes.txt`; the format has no place for a score."""
    for photo, records in predicted:
        height, width = photo.size
        lines = []
        for record in records:
            if "outline" in record:
                shares = (record["outline"] / (width, height)).ravel()
            else:
                x, y, w, h = record["bbox"]
                shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(f"{classes.index(record['category'])} {' '.join(f'{share:.6f}' for share in shares)}\n")
        _write(directory / "labels" / f"{photo.path.stem}.txt", "".join(lines))
    _write(directory / "classes.txt", "".join(f"{name}\n" for name in classes))
    return directory


def _voc(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `Annotations/NAME.xml`; pixels count from 1, and the doubts are attributes, which CVAT reads."""
    for photo, records in predicted:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = photo.path.name
        size = ElementTree.SubElement(root, "size")
        for name, value in (("width", photo.size[1]), ("height", photo.size[0]), ("depth", 3)):
            ElementTree.SubElement(size, name).text = str(value)
        for record in records:
            entry = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(entry, "name").text = record["category"]
            x, y, w, h = record["bbox"]
            box = ElementTree.SubElement(entry, "bndbox")
            for side, value in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + w), ("ymax", y + h)):
                ElementTree.SubElement(box, side).text = f"{value:.2f}"
            attributes = ElementTree.SubElement(entry, "attributes")
            for name, value in _doubt(record).items():
                attribute = ElementTree.SubElement(attributes, "attribute")
                ElementTree.SubElement(attribute, "name").text = name
                ElementTree.SubElement(attribute, "value").text = str(value)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode") + "\n"
        _write(directory / "Annotations" / f"{photo.path.stem}.xml", text)
    return directory / "Annotations"


def _voc_masks(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `SegmentationClass/NAME.png` in VOC's colours, and `labelmap.txt`, which CVAT reads."""
    if bad := [name for name in classes if ":" in name or "\n" in name]:
        raise ValueError(f"labelmap.txt cannot hold the class {bad[0]!r}, because of its colon or line break; use coco")
    if len(classes) > 256:
        raise ValueError(f"masks in VOC's colours hold 256 classes, found {len(classes)}; use coco")
    palette = _voc_palette()
    for photo, records in predicted:
        mask = np.zeros(photo.size, np.uint8)
        for record in records:
            paint(mask, Polygons((record["outline"],)), classes.index(record["category"]))
        target = directory / "SegmentationClass" / f"{photo.path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_png(target, PngImage(mask, palette))
    colours = (",".join(map(str, palette[k].tolist())) for k in range(len(classes)))
    lines = [f"{name}:{colour}::\n" for name, colour in zip(classes, colours, strict=True)]
    _write(directory / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))
    _write(directory / "ImageSets/Segmentation/default.txt", "".join(f"{photo.path.stem}\n" for photo, _ in predicted))
    return directory


def _voc_palette() -> np.ndarray:
    """Returns VOC's colours `[256, 3]` uint8: three bits of an index at a time become bits of red, green and blue.

    >>> _voc_palette()[[0, 1, 2, 15]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128]]
    """
    index = np.arange(256)[:, None]
    return sum(((index >> (3 * i + np.arange(3))) & 1) << (7 - i) for i in range(3)).astype(np.uint8)


def _labelme(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `NAME.json` a photo, which names the photo by its path from there.

    Doubts are the description of a shape, and the classes of a photo are flags.
    """
    for photo, records in predicted:
        height, width = photo.size
        shapes, flags = [], {}
        for record in records:
            if "outline" in record:
                kind, points = "polygon", record["outline"].tolist()
            elif "bbox" in record:
                x, y, w, h = (round(side, 2) for side in record["bbox"])
                kind, points = "rectangle", [[x, y], [x + w, y + h]]
            else:
                flags[record["category"]] = True
                continue
            text = ", ".join(f"{name} {value:g}" for name, value in _doubt(record).items())
            shape = {"label": record["category"], "points": points, "shape_type": kind}
            shapes.append(shape | {"group_id": None, "description": text, "flags": {}})
        name = _from(directory, photo.path)
        table = {"version": "5.4.1", "flags": flags, "shapes": shapes, "imagePath": name, "imageData": None}
        table |= {"imageHeight": height, "imageWidth": width}
        _write(directory / f"{photo.path.stem}.json", json.dumps(table, indent=1) + "\n")
    return directory


def _from(directory: Path, photo: Path) -> str:
    """Returns the path of a photo from a directory; its address if only the photo lies in a store."""
    place, base = address(photo), address(directory)
    if "://" not in place:
        return Path(os.path.relpath(photo.resolve(), directory.resolve())).as_posix()
    return posixpath.relpath(place, base) if place.split("/")[:3] == base.split("/")[:3] else place


def _labelstudio(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `tasks.json` with predictions for the control `label` of the image `image`."""
    tasks = []
    for photo, records in predicted:
        height, width = photo.size
        results = []
        for i, record in enumerate(records):
            control, value = _percent(record, width, height)
            entry = {"id": str(i), "type": control, "from_name": "label", "to_name": "image", "value": value}
            entry |= {"original_width": width, "original_height": height, "image_rotation": 0, "meta": _doubt(record)}
            results.append(entry | {"score": round(record["score"], _DIGITS)})
        score = min((entry["score"] for entry in results), default=0.0)
        if results and results[0]["type"] == "choices":  # the labels of a photo are one region
            results[0]["value"]["choices"] = [record["category"] for record in records]
            results = [results[0] | {"score": score}]
        image = f"/data/local-files/?d={quote(photo.path.name)}"
        prediction = {"model_version": "cnnlab", "score": score, "result": results}
        tasks.append({"data": {"image": image}, "predictions": [prediction]})
    _write(directory / "tasks.json", json.dumps(tasks, indent=1) + "\n")
    return directory / "tasks.json"


def _percent(record: Record, width: int, height: int) -> tuple[str, dict]:
    """Returns the type and the value of a region of Label Studio, in percent of the photo."""
    names = [record["category"]]
    if "outline" in record:
        points = (100 * record["outline"] / (width, height)).tolist()
        return "polygonlabels", {"points": points, "closed": True, "polygonlabels": names}
    if "bbox" in record:
        x, y, w, h = record["bbox"]
        value = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}
        return "rectanglelabels", value | {"rotation": 0, "rectanglelabels": names}
    return "choices", {"choices": names}


EXCHANGES: dict[str, Callable[[Sequence[Predicted], Sequence[str], Path], Path]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "labelme": _labelme,
    "labelstudio": _labelstudio,
}
"""Writers by the name of the format."""

_OF_KIND: dict[Kind, dict[str, Callable[[Sequence[Predicted], Sequence[str], Path], Path]]] = {
    "boxes": EXCHANGES,
    "outlines": EXCHANGES | {"voc": _voc_masks},
    "labels": {"labelme": _labelme, "labelstudio": _labelstudio},
}
