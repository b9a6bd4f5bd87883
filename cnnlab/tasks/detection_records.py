"""A photo's detections as records in COCO's results format, in the photo's own pixels."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.geometry.letterbox import to_photo
from cnnlab.tasks.task import Prediction, Record

_DOUBTS = ("entropy", "mutual_information", "frequency")


def coco_records(prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
    """Returns one record a box, the best first: all that the task kept, however unsure.

    Args:
      prediction: without a batch axis: `boxes` `[n, 4]` in pixels of the network's input, `classes` `[n]` (-1 = none)
        and `score` `[n]`. Over passes also `variance` on the grid (`place` `[n]` says where each box lies) or
        `deviation` `[n, 4]`, `probs` `[n, k]`, and what is in `entropy`, `mutual_information` and `frequency`.
      spec: of the network.
      photo: the photo.

    Returns:
      `image_id`, `file_name`, `category_id`, `category`, `bbox` (x, y, width and height in the photo's pixels) and
      `score`. Over passes also `bbox_std` (standard deviations of the left, top, right and bottom edge, in pixels),
      `probs` by class, `entropy` and `mutual_information` (nats); of grouped passes `frequency`, the share of the
      passes that found the object.
    """
    columns = {name: np.asarray(prediction[name]) for name in ("boxes", "classes", "score")}
    if "variance" in prediction:
        columns |= {"deviation": _deviations(prediction), "probs": np.asarray(prediction.probs)}
        columns |= {name: _at_boxes(prediction, name) for name in ("entropy", "mutual_information")}
    elif "deviation" in prediction:
        columns |= {name: np.asarray(prediction[name]) for name in ("deviation", "probs", *_DOUBTS)}
    kept = columns["classes"] >= 0
    return _records({name: column[kept] for name, column in columns.items()}, spec, photo)


def _records(columns: Mapping[str, np.ndarray], spec: InputSpec, photo: Photo) -> list[Record]:
    """One record a row of the columns, whose boxes and deviations are in pixels of the network's input."""
    height, width = photo.size
    boxes = on_photo(np.asarray(columns["boxes"], np.float64), photo.size, spec)
    boxes = np.clip(boxes, 0, np.tile([width, height], 2))
    low, high = np.split(on_photo(np.array([0.0, 0, 1, 1]), photo.size, spec), 2)
    spread = columns["deviation"] * np.tile(high - low, 2) if "deviation" in columns else None
    numbers = photo.categories or {name: k for k, name in enumerate(spec.classes, 1)}
    out = []
    for i, k in enumerate(columns["classes"]):
        x1, y1, x2, y2 = boxes[i].tolist()
        one = {"image_id": photo.number, "file_name": photo.path.name, "category_id": numbers[spec.classes[k]]}
        one["category"] = spec.classes[k]
        one |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(columns["score"][i])}
        if spread is not None:
            one |= {"bbox_std": spread[i].tolist()}
            one |= {"probs": dict(zip(spec.classes, columns["probs"][i].tolist(), strict=True))}
        out.append(one | {name: float(columns[name][i]) for name in _DOUBTS if name in columns})
    return out


def on_photo(boxes: np.ndarray, size: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Returns boxes `[..., 4]` xyxy of the network's input in the pixels of a photo of that size (height, width).

    >>> on_photo(np.array([0.0, 4, 16, 12]), (100, 200), InputSpec((16, 16), fit="letterbox")).tolist()
    [0.0, 0.0, 200.0, 100.0]
    """
    if spec.fit == "letterbox":
        return to_photo(boxes, size, spec.size)
    return boxes * np.tile([size[1] / spec.size[1], size[0] / spec.size[0]], 2)


def _deviations(prediction: Prediction) -> np.ndarray:
    """Standard deviations `[n, 4]` of the kept boxes' edges in pixels of the network's input."""
    return np.sqrt(np.asarray(prediction.variance["boxes"], np.float64).reshape(-1, 4)[np.asarray(prediction.place)])


def _at_boxes(prediction: Prediction, name: str) -> np.ndarray:
    """A map over the grid, read where the kept boxes lie; boxes of a cell may share its value."""
    values, place = np.asarray(prediction[name]).ravel(), np.asarray(prediction.place)
    boxes = np.asarray(prediction.variance["boxes"]).size // 4
    return values[place // (boxes // values.size)]
