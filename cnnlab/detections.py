"""Found objects of photos: records in COCO's results format, in the photo's own pixels, and drawn pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.data.images import read_header, read_pixels
from cnnlab.data.letterbox import to_photo
from cnnlab.plots.boxes import draw_boxes
from cnnlab.tasks import Prediction

Record = dict[str, Any]
SURE = 0.3  # the score from which a box is drawn


def coco_results(path: Path, prediction: Prediction, spec: InputSpec, *, image_id: int) -> list[Record]:
    """A photo's detections, the best first; all that the task kept, however unsure.

    Args:
      path: the photo.
      prediction: of it, without a batch axis; of one pass or of many.
      spec: of the network.
      image_id: of the photo.

    Returns:
      One record a box: `image_id`, `file_name`, `category_id` (1 is the first class), `category`, `bbox` (x, y, width
      and height in the photo's pixels) and `score`. Of many passes also `bbox_std` (standard deviations of the left,
      top, right and bottom edge, in pixels), `probs` by class, `entropy` and `mutual_information` (nats).
    """
    size = read_header(path)[0]
    boxes = on_photo(np.asarray(prediction.boxes, np.float64), size, spec)
    boxes = np.clip(boxes, 0, np.tile([size[1], size[0]], 2))
    many = "variance" in prediction
    spread = _deviations(prediction, size, spec) if many else None
    out = []
    for i in np.flatnonzero(np.asarray(prediction.classes) >= 0):
        k = int(prediction.classes[i])
        x1, y1, x2, y2 = boxes[i].tolist()
        one = {"image_id": image_id, "file_name": path.name, "category_id": k + 1, "category": spec.classes[k]}
        one |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(prediction.score[i])}
        if many:
            one |= {"bbox_std": spread[i].tolist()}
            one |= {"probs": dict(zip(spec.classes, np.asarray(prediction.probs[i]).tolist(), strict=True))}
            one |= {name: float(_at(prediction, name)[i]) for name in ("entropy", "mutual_information")}
        out.append(one)
    return out


def on_photo(boxes: np.ndarray, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Boxes `[..., 4]` xyxy of the network's input in the pixels of a photo of that size (height, width).

    >>> on_photo(np.array([0.0, 4, 16, 12]), (100, 200), InputSpec((16, 16), fit="letterbox")).tolist()
    [0.0, 0.0, 200.0, 100.0]
    """
    if spec.fit == "letterbox":
        return to_photo(boxes, size, spec.size)
    return boxes * np.tile([size[1] / spec.size[1], size[0] / spec.size[0]], 2)


def draw_photo(path: Path, records: Sequence[Record], target: Path, *, sure: float = SURE) -> Path:
    """Writes the photo with its surest boxes, and two standard deviations of their corners as ellipses.

    Args:
      path: the photo.
      records: of it, from `coco_results`.
      target: the picture.
      sure: boxes with a lower score are left out.
    """
    size = read_header(path)[0]
    shown = [one for one in records if one["score"] >= sure]
    boxes = [(x, y, x + w, y + h) for x, y, w, h in (one["bbox"] for one in shown)]
    names = [f"{one['category']} {one['score']:.2f}" for one in shown]
    spread = [one["bbox_std"] for one in shown] if shown and "bbox_std" in shown[0] else None
    pixels = read_pixels(path, size=size, channels=3)
    figure = draw_boxes(pixels, boxes, names, [one["category_id"] for one in shown], spread)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    return target


def write_json(records: Sequence[Record], file: TextIO) -> None:
    """A list of records, as COCO's tools read it."""
    json.dump(list(records), file, indent=1)
    file.write("\n")


def _deviations(prediction: Prediction, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Standard deviations `[n, 4]` of the kept boxes' edges in the photo's pixels."""
    variance = np.asarray(prediction.variance["boxes"], np.float64).reshape(-1, 4)[np.asarray(prediction.place)]
    unit = np.concatenate([np.zeros(2), np.ones(2)])
    low, high = np.split(on_photo(unit, size, spec), 2)
    return np.sqrt(variance) * np.tile(high - low, 2)


def _at(prediction: Prediction, name: str) -> np.ndarray:
    """A map over the grid, read where the kept boxes lie; boxes of a cell may share its value."""
    values, place = np.asarray(prediction[name]).ravel(), np.asarray(prediction.place)
    boxes = np.asarray(prediction.variance["boxes"]).size // 4
    return values[place // (boxes // values.size)]
