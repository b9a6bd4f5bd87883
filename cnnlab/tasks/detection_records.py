"""Converts a photo's detections to records in COCO's results format, in the photo's pixels."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.geometry.letterbox import to_photo
from cnnlab.tasks.task import Prediction, Record

_DOUBTS = ("entropy", "mutual_information", "frequency")


def coco_records(prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
    """Returns one record per box of a prediction, the best first, whatever its score.

    Args:
      prediction: a prediction without a batch axis: `boxes` `[n, 4]` in pixels of the network's input, `classes` `[n]`
        (-1 = no box) and `score` `[n]`. Over several passes it also holds `probs` `[n, k]` and either `variance`,
        `entropy` and `mutual_information` on the grid, with each box's `place` `[n]` there, or, for grouped passes,
        `deviation` `[n, 4]`, `entropy`, `mutual_information` and `frequency`.
      spec: input specification of the network.
      photo: photo with its file name, its size and its COCO ids.

    Returns:
      Records of `file_name`, `category`, `score`, `bbox` (x, y, width and height in the photo's pixels), `image_id` and
      `category_id`. Over several passes also `bbox_std` (standard deviations of the left, top, right and bottom
      edge, in pixels), `probs` by class, `entropy` and `mutual_information` (nats); for grouped passes also
      `frequency`, the share of the passes that detect the object.
    """
    columns = {name: np.asarray(prediction[name]) for name in ("boxes", "classes", "score")}
    if "variance" in prediction:
        columns |= {"deviation": _deviations(prediction), "probs": np.asarray(prediction.probs)}
        columns |= {name: _at_boxes(prediction, name) for name in ("entropy", "mutual_information")}
    elif "deviation" in prediction:
        columns |= {name: np.asarray(prediction[name]) for name in ("deviation", "probs", *_DOUBTS)}
    real = columns["classes"] >= 0
    return _records({name: column[real] for name, column in columns.items()}, spec, photo)


def _records(columns: Mapping[str, np.ndarray], spec: InputSpec, photo: Photo) -> list[Record]:
    """Returns one record per row of the columns. Their boxes and deviations are in pixels of the network's input."""
    height, width = photo.size
    boxes = on_photo(np.asarray(columns["boxes"], np.float64), photo.size, spec)
    boxes = np.clip(boxes, 0, np.tile([width, height], 2))
    low, high = np.split(on_photo(np.array([0.0, 0, 1, 1]), photo.size, spec), 2)
    spread = columns["deviation"] * np.tile(high - low, 2) if "deviation" in columns else None
    numbers = photo.categories or {name: k for k, name in enumerate(spec.classes, 1)}
    out = []
    for i, k in enumerate(columns["classes"]):
        x1, y1, x2, y2 = boxes[i].tolist()
        record = {"file_name": photo.path.name, "category": spec.classes[k], "score": float(columns["score"][i])}
        record |= {name: float(columns[name][i]) for name in _DOUBTS if name in columns}
        record["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        if spread is not None:
            record |= {"bbox_std": spread[i].tolist()}
            record |= {"probs": dict(zip(spec.classes, columns["probs"][i].tolist(), strict=True))}
        out.append(record | {"image_id": photo.number, "category_id": numbers[spec.classes[k]]})
    return out


def on_photo(boxes: np.ndarray, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Converts boxes `[..., 4]` xyxy from pixels of the network's input to those of a photo with this height and width.

    >>> on_photo(np.array([0.0, 4, 16, 12]), (100, 200), InputSpec((16, 16), fit="letterbox")).tolist()
    [0.0, 0.0, 200.0, 100.0]
    """
    if spec.fit == "letterbox":
        return to_photo(boxes, size, spec.size)
    return boxes * np.tile([size[1] / spec.size[1], size[0] / spec.size[0]], 2)


def _deviations(prediction: Prediction) -> np.ndarray:
    """Returns standard deviations `[n, 4]` of the boxes' edges in pixels of the network's input."""
    return np.sqrt(np.asarray(prediction.variance["boxes"], np.float64).reshape(-1, 4)[np.asarray(prediction.place)])


def _at_boxes(prediction: Prediction, name: str) -> np.ndarray:
    """Reads a map over the grid at the boxes' places. The boxes of a cell may share its value."""
    values, place = np.asarray(prediction[name]).ravel(), np.asarray(prediction.place)
    boxes = np.asarray(prediction.variance["boxes"]).size // 4
    return values[place // (boxes // values.size)]
