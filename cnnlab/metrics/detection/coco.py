"""Average precision and recall of boxes by COCO's rules."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cnnlab.metrics.detection.matching import Columns, match
from cnnlab.metrics.detection.voc import Curve

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # in double precision, as pycocotools: float32 would misplace matches
RECALLS = np.linspace(0, 1, 101)
RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # areas: all, small, medium, large
LIMITS = (1, 10, 100)


class Tables(NamedTuple):
    """Precision and recall of the K classes with an object; -1 for a class without objects in an area range.

    Attributes:
      classes: `[K]` classes.
      objects: `[K, areas]` numbers of objects.
      precision: `[K, areas, thresholds]` mean precision over 101 recalls.
      recall: `[K, limits, areas, thresholds]` recall; `LIMITS` bounds the detections per class and image.
    """

    classes: np.ndarray
    objects: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def is_absent(name: str, value: float) -> bool:
    """Returns whether a number is the -1 of COCO's scores, which means that no object counts.

    >>> is_absent("map_small", -1.0), is_absent("r2", -1.0)
    (True, False)
    """
    return value == -1 and name.split("_")[0] in ("map", "map50", "map75", "mar", "ap", "ap50", "ar")


def coco_scores(detections: Columns, truths: Columns) -> dict[str, float]:
    """Computes COCO's 12 numbers as pycocotools does; -1 if no class has an object that counts.

    Args:
      detections: lists of arrays, or padded arrays, with one entry per image: `boxes` `[n, 4]` as xyxy in pixels,
        `scores` `[n]`, and `classes` `[n]`, where -1 is padding.
      truths: the same for the objects: `boxes`, `classes`, and optionally `crowd` (bool), `difficult` (bool: the object
        counts neither as missed nor as detected) and `area` (square pixels, by default the area of the box).

    Returns:
      Mean average precision: `map` over IoU thresholds .50 to .95, `map50` and `map75` at .50 and .75, and `map_small`,
      `map_medium` and `map_large` for objects with an area below 32², from 32² to 96², and above. Mean recall: `mar_1`,
      `mar_10` and `mar_100` with at most 1, 10 and 100 detections per class and image, and `mar_small`, `mar_medium`
      and `mar_large` by area.

    Raises:
      ValueError: detections and truths have different numbers of images.

    >>> box, label = [np.array([[0.0, 0, 50, 50]])], [np.array([3])]
    >>> scores = coco_scores(
    ...     {"boxes": box, "scores": [np.array([0.9])], "classes": label}, {"boxes": box, "classes": label}
    ... )
    >>> round(scores["map"], 6), scores["map_small"]
    (1.0, -1.0)
    """
    _, _, precision, recall = coco_tables(detections, truths)
    scores = {
        "map": precision[:, 0],
        "map50": precision[:, 0, 0],
        "map75": precision[:, 0, 5],
        **{f"map_{name}": precision[:, i] for i, name in enumerate(("small", "medium", "large"), 1)},
        **{f"mar_{limit}": recall[:, i, 0] for i, limit in enumerate(LIMITS)},
        **{f"mar_{name}": recall[:, 2, i] for i, name in enumerate(("small", "medium", "large"), 1)},
    }
    return {name: float(v[v > -1].mean()) if (v > -1).any() else -1.0 for name, v in scores.items()}


def coco_tables(detections: Columns, truths: Columns) -> Tables:
    """Computes the average precision and recall of every class that has an object.

    Args: as in `coco_scores`.
    """
    matches = match(detections, truths, thresholds=THRESHOLDS, ranges=RANGES, limit=LIMITS[-1])
    order = np.lexsort((-matches.scores, matches.classes))
    order = order[np.isin(matches.classes[order], matches.present)]
    begin = np.append(np.searchsorted(matches.classes[order], matches.present), len(order))
    right, counted = (matches.hit & ~matches.ignored)[order], ~matches.ignored[order]
    share = np.maximum(matches.objects, 1)
    few = [right & (matches.rank[order] < limit)[:, None, None] for limit in LIMITS]
    recall = np.stack([np.diff(_before(part)[begin], axis=0) / share[..., None] for part in few], 1)
    precision = _average_precision(right, counted, begin, share)
    none = matches.objects == 0
    precision[none] = -1
    recall[np.broadcast_to(none[:, None], recall.shape[:3])] = -1
    return Tables(matches.present, matches.objects, precision, recall)


def coco_curves(detections: Columns, truths: Columns, *, iou_threshold: float = 0.5) -> dict[int, Curve]:
    """Computes the precision-recall curve of every class that has an object.

    Args: as in `coco_scores`; `iou_threshold` is the smallest IoU of a detection with the object that it matches.

    >>> boxes = [np.array([[0.0, 0, 50, 50], [60, 0, 80, 20]])]
    >>> detections = {"boxes": boxes, "scores": [np.array([0.9, 0.8])], "classes": [np.array([3, 3])]}
    >>> curve = coco_curves(detections, {"boxes": [boxes[0][:1]], "classes": [np.array([3])]})[3]
    >>> curve.precision.tolist(), curve.recall.tolist()
    ([1.0, 0.5], [1.0, 1.0])
    """
    matches = match(detections, truths, thresholds=np.array([iou_threshold]), limit=LIMITS[-1])
    curves = {}
    for k, objects in zip(matches.present.tolist(), matches.objects[:, 0].tolist(), strict=True):
        mine = np.flatnonzero((matches.classes == k) & ~matches.ignored[:, 0, 0])
        mine = mine[np.argsort(-matches.scores[mine], kind="stable")]
        right = matches.hit[mine, 0, 0].cumsum()
        precision, recall = right / np.arange(1, len(mine) + 1), right / max(objects, 1)
        curves[k] = Curve(matches.scores[mine], precision, recall, objects)
    return curves


def _average_precision(right: np.ndarray, counted: np.ndarray, begin: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Computes the mean precision `[K, A, T]` at 101 recalls; it is 0 at recalls that are not reached.

    Args:
      right: `[n, A, T]` bool, whether each detection is correct; detections are sorted by class, then by falling score.
      counted: `[n, A, T]` bool, whether each detection counts.
      begin: `[K + 1]` index of the first detection of each class, followed by n.
      objects: `[K, A]` numbers of objects, 1 or more.
    """
    # Precision falls between two correct detections, so the correct ones alone determine the envelope.
    some = np.flatnonzero(right.any((1, 2)))
    first, edges = begin[np.searchsorted(begin, some, side="right") - 1], np.searchsorted(some, begin)
    true, all_counted = (_before(part)[some + 1] - _before(part)[first] for part in (right, counted))
    envelope = true / np.maximum(all_counted, 1)
    for start, end in pairwise(edges):
        envelope[start:end] = np.maximum.accumulate(envelope[start:end][::-1])[::-1]
    # One flat array: area by area, threshold by threshold, class by class, the envelope at each correct detection.
    values = np.append(np.moveaxis(envelope, 0, -1)[np.moveaxis(right[some], 0, -1)], 0.0)
    before = _before(right)[begin]  # [K + 1, A, T]
    start = before[:-1] + (before[-1].cumsum().reshape(before[-1].shape) - before[-1])
    number = np.diff(before, axis=0)[..., None]
    needed = _needed(objects)[:, :, None]
    place = np.where((needed <= number) & (number > 0), start[..., None] + np.maximum(needed - 1, 0), -1)
    return values[place].mean(-1)


def _before(x: np.ndarray) -> np.ndarray:
    """Counts the true entries before each index, `[n, ...]` to `[n + 1, ...]`."""
    return np.concatenate([np.zeros((1, *x.shape[1:]), np.int64), x.cumsum(0)])


def _needed(objects: np.ndarray) -> np.ndarray:
    """Returns how many of `objects` must be matched to reach each of the 101 recalls, `[...]` to `[..., 101]`."""
    numbers, place = np.unique(objects, return_inverse=True)
    needed = np.array([np.searchsorted(np.arange(n + 1) / n, RECALLS) for n in numbers], int).reshape(-1, len(RECALLS))
    return needed[place].reshape(*objects.shape, len(RECALLS))
