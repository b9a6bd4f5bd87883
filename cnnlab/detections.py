"""Found objects of photos: records in COCO's results format, in the photo's own pixels, and drawn pictures."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.data.annotations.coco import load_coco
from cnnlab.data.images import read_header, read_pixels
from cnnlab.data.letterbox import to_photo
from cnnlab.tasks import Prediction
from cnnlab.uncertainty.boxes import group_passes

Record = dict[str, Any]
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Told apart by the colour-blind too (Okabe and Ito)."""
SURE = 0.3  # the score from which a box is drawn


def coco_results(
    path: Path,
    prediction: Prediction,
    spec: InputSpec,
    *,
    image_id: int,
    size: tuple[int, int] | None = None,
    categories: Mapping[str, int] | None = None,
) -> list[Record]:
    """A photo's detections, the best first; all that the task kept, however unsure.

    Args:
      path: the photo.
      prediction: of it, without a batch axis; of one pass or of many.
      spec: of the network.
      image_id: of the photo.
      size: its height and width in pixels, read from the file if left out.
      categories: numbers of the classes by name; 1 is the first class, if left out.

    Returns:
      One record a box: `image_id`, `file_name`, `category_id`, `category`, `bbox` (x, y, width
      and height in the photo's pixels) and `score`. Of many passes also `bbox_std` (standard deviations of the left,
      top, right and bottom edge, in pixels), `probs` by class, `entropy` and `mutual_information` (nats).
    """
    size = size or read_header(path)[0]
    columns = {name: np.asarray(prediction[name]) for name in ("boxes", "classes", "score")}
    if "variance" in prediction:
        columns |= {"deviation": _deviations(prediction), "probs": np.asarray(prediction.probs)}
        columns |= {name: _at(prediction, name) for name in ("entropy", "mutual_information")}
    kept = columns["classes"] >= 0
    columns = {name: column[kept] for name, column in columns.items()}
    return _records(columns, path, spec, image_id=image_id, size=size, categories=categories)


def grouped_results(
    path: Path, passes: Prediction, spec: InputSpec, *, image_id: int, categories: Mapping[str, int] | None = None
) -> list[Record]:
    """A photo's objects, the detections of all passes grouped by overlap, the most frequent first.

    Args:
      path: the photo.
      passes: what each pass is decoded to, `boxes` `[T, m, 4]` and so on; see `group_passes`.
      spec: of the network.
      image_id: of the photo.
      categories: as in `coco_results`.

    Returns:
      The records of `coco_results`, each with `frequency`, the share of the passes that found the object.
    """
    found = group_passes(passes)
    columns = found._asdict() | {"classes": found.probs.argmax(-1)}
    return _records(columns, path, spec, image_id=image_id, size=read_header(path)[0], categories=categories)


def _records(
    columns: Mapping[str, np.ndarray],
    path: Path,
    spec: InputSpec,
    *,
    image_id: int,
    size: tuple[int, int],
    categories: Mapping[str, int] | None,
) -> list[Record]:
    """One record a row of the columns, whose boxes and deviations are in pixels of the network's input."""
    boxes = on_photo(np.asarray(columns["boxes"], np.float64), size, spec)
    boxes = np.clip(boxes, 0, np.tile([size[1], size[0]], 2))
    low, high = np.split(on_photo(np.array([0.0, 0, 1, 1]), size, spec), 2)
    spread = columns["deviation"] * np.tile(high - low, 2) if "deviation" in columns else None
    numbers = categories or {name: k for k, name in enumerate(spec.classes, 1)}
    out = []
    for i, k in enumerate(columns["classes"]):
        x1, y1, x2, y2 = boxes[i].tolist()
        one = {"image_id": image_id, "file_name": path.name, "category_id": numbers[spec.classes[k]]}
        one["category"] = spec.classes[k]
        one |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(columns["score"][i])}
        if spread is not None:
            one |= {"bbox_std": spread[i].tolist()}
            one |= {"probs": dict(zip(spec.classes, columns["probs"][i].tolist(), strict=True))}
        doubts = ("entropy", "mutual_information", "frequency")
        out.append(one | {name: float(columns[name][i]) for name in doubts if name in columns})
    return out


class CocoIds(NamedTuple):
    """Numbers of photos by file name, and of categories by name, in a COCO annotation file."""

    images: dict[str, int]
    categories: dict[str, int]

    def image(self, path: Path) -> int:
        """The number of the photo whose file name the path ends with."""
        parts = path.resolve().parts
        names = ["/".join(parts[-n:]) for n in range(len(parts), 0, -1)]
        for name in names:
            if name in self.images:
                return self.images[name]
        raise ValueError(f"{path} is no photo of --ids; it lists {len(self.images)}, such as {next(iter(self.images))}")


def read_coco_ids(path: str | Path, classes: Sequence[str]) -> CocoIds:
    """The numbers under which an annotation file knows photos and classes, so that results can be scored against it.

    Raises:
      ValueError: the file is no COCO JSON, or lacks one of the classes.
    """
    table = load_coco(Path(path))
    try:
        images = {str(one["file_name"]): int(one["id"]) for one in table["images"]}
        categories = {str(one["name"]): int(one["id"]) for one in table["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: an image or a category lacks its name or its id ({error})") from error
    missing = [name for name in classes if name not in categories]
    if missing or not images:
        raise ValueError(f"{path} has {len(images)} images and no category {', '.join(missing) or 'missing'}")
    return CocoIds(images, categories)


def on_photo(boxes: np.ndarray, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Boxes `[..., 4]` xyxy of the network's input in the pixels of a photo of that size (height, width).

    >>> on_photo(np.array([0.0, 4, 16, 12]), (100, 200), InputSpec((16, 16), fit="letterbox")).tolist()
    [0.0, 0.0, 200.0, 100.0]
    """
    if spec.fit == "letterbox":
        return to_photo(boxes, size, spec.size)
    return boxes * np.tile([size[1] / spec.size[1], size[0] / spec.size[0]], 2)


def draw_photo(path: Path, records: Sequence[Record], target: Path, *, sure: float = SURE) -> Path:
    """Writes a photo with its boxes as a picture; see `draw_boxes`."""
    from PIL import Image

    pixels = read_pixels(path, size=read_header(path)[0], channels=3)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    Image.fromarray(draw_boxes(pixels, records, sure=sure)).save(part, "png")
    os.replace(part, target)
    return target


def draw_boxes(pixels: np.ndarray, records: Sequence[Record], *, sure: float = SURE) -> np.ndarray:
    """A picture with its surest boxes, the best on top; of many passes also with the spread of their corners.

    Args:
      pixels: `[H, W, 3]` uint8.
      records: of it, from `coco_results`; two standard deviations of the upper left and of the lower right corner are
        drawn as ellipses.
      sure: boxes with a lower score are left out.

    >>> box = {"bbox": [2, 2, 9, 9], "score": 0.9, "category": "cat", "category_id": 1}
    >>> draw_boxes(np.zeros((16, 16, 3), np.uint8), [box])[2, 5].tolist()  # on the upper edge: the colour of class 1
    [86, 180, 233]
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(pixels).copy()
    pen = ImageDraw.Draw(image, "RGBA")
    line = max(1, round(min(pixels.shape[:2]) / 300))
    font = ImageFont.load_default(10 + line)
    for one in reversed([one for one in records if one["score"] >= sure]):
        x, y, w, h = one["bbox"]
        colour = COLOURS[one["category_id"] % len(COLOURS)]
        pen.rectangle((x, y, x + w, y + h), outline=colour, width=line)
        if "bbox_std" in one:
            left, top, right, bottom = (2 * side for side in one["bbox_std"])
            for cx, cy, rx, ry in ((x, y, left, top), (x + w, y + h, right, bottom)):
                pen.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=f"{colour}80", outline="white")
        name = f"{one['category']} {one['score']:.2f}"
        x1, y1, x2, y2 = pen.textbbox((x + line, y + line), name, font=font)
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), fill=colour)
        pen.text((x + line, y + line), name, font=font, fill="black")
    return np.asarray(image)


def write_json(records: Sequence[Record], file: TextIO) -> None:
    """A list of records, as COCO's tools read it."""
    json.dump(list(records), file, indent=1)
    file.write("\n")


def _deviations(prediction: Prediction) -> np.ndarray:
    """Standard deviations `[n, 4]` of the kept boxes' edges in pixels of the network's input."""
    return np.sqrt(np.asarray(prediction.variance["boxes"], np.float64).reshape(-1, 4)[np.asarray(prediction.place)])


def _at(prediction: Prediction, name: str) -> np.ndarray:
    """A map over the grid, read where the kept boxes lie; boxes of a cell may share its value."""
    values, place = np.asarray(prediction[name]).ravel(), np.asarray(prediction.place)
    boxes = np.asarray(prediction.variance["boxes"]).size // 4
    return values[place // (boxes // values.size)]
