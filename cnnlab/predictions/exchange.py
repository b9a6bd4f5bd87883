"""Writes predicted boxes as annotations that tools import, so that people correct them instead of drawing."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from cnnlab.files.atomic import write_text
from cnnlab.files.photo import Photo
from cnnlab.plots.overlay import SURE
from cnnlab.tasks.task import Record

_DOUBTS = ("score", "entropy", "mutual_information", "frequency")
_DIGITS = 4  # of scores and doubts


class Predicted(NamedTuple):
    """A photo with the records of its boxes."""

    photo: Photo
    records: Sequence[Record]


def write_annotations(
    format: str, predicted: Sequence[Predicted], classes: Sequence[str], directory: Path, *, sure: float = SURE
) -> Path:
    """Writes the boxes of photos in the format of an annotation tool and returns the file or folder to import.

    Args:
      format: `coco`, `yolo`, `voc`, `labelme` or `labelstudio`.
      predicted: photos with records in COCO's results format.
      classes: names of the classes, in order.
      directory: directory of the files, which exists or is made.
      sure: lowest score of a box that is written.

    Raises:
      ValueError: two photos have one name, by which the tools would confuse them.
    """
    names: dict[str, Path] = {}
    for photo, _ in predicted:
        if (other := names.setdefault(photo.path.stem, photo.path)) != photo.path:
            raise ValueError(f"{other} and {photo.path} have one name, which annotations need; predict them one by one")
    kept = [Predicted(photo, [r for r in records if r["score"] >= sure]) for photo, records in predicted]
    return EXCHANGES[format](kept, classes, directory)


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
            box = [round(side, 2) for side in record["bbox"]]
            entry |= {"bbox": box, "area": round(box[2] * box[3], 2), "segmentation": [], "iscrowd": 0}
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


def _labelme(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `NAME.json` a photo, which names the photo by its path from there; doubts are descriptions."""
    for photo, records in predicted:
        height, width = photo.size
        shapes = []
        for record in records:
            x, y, w, h = (round(side, 2) for side in record["bbox"])
            text = ", ".join(f"{name} {value:g}" for name, value in _doubt(record).items())
            shape = {"label": record["category"], "points": [[x, y], [x + w, y + h]], "shape_type": "rectangle"}
            shapes.append(shape | {"group_id": None, "description": text, "flags": {}})
        name = Path(os.path.relpath(photo.path.resolve(), directory.resolve())).as_posix()
        table = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None}
        table |= {"imageHeight": height, "imageWidth": width}
        _write(directory / f"{photo.path.stem}.json", json.dumps(table, indent=1) + "\n")
    return directory


def _labelstudio(predicted: Sequence[Predicted], classes: Sequence[str], directory: Path) -> Path:
    """Writes `tasks.json` with predictions for `<RectangleLabels name="label" toName="image">`."""
    tasks = []
    for photo, records in predicted:
        height, width = photo.size
        results = []
        for i, record in enumerate(records):
            x, y, w, h = record["bbox"]
            value = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}
            value |= {"rotation": 0, "rectanglelabels": [record["category"]]}
            entry = {"id": str(i), "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
            entry |= {"original_width": width, "original_height": height, "image_rotation": 0, "meta": _doubt(record)}
            results.append(entry | {"score": round(record["score"], _DIGITS)})
        score = min((entry["score"] for entry in results), default=0.0)
        image = f"/data/local-files/?d={quote(photo.path.name)}"
        prediction = {"model_version": "cnnlab", "score": score, "result": results}
        tasks.append({"data": {"image": image}, "predictions": [prediction]})
    _write(directory / "tasks.json", json.dumps(tasks, indent=1) + "\n")
    return directory / "tasks.json"


EXCHANGES: dict[str, Callable[[Sequence[Predicted], Sequence[str], Path], Path]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "labelme": _labelme,
    "labelstudio": _labelstudio,
}
"""Writers by the name of the format."""
