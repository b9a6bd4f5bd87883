"""Average precision of boxes."""

from typing import NamedTuple

import numpy as np

from cnnlab.metrics.matching import Columns, match
from cnnlab.metrics.voc import Curve

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # in double precision, as pycocotools: float32 would misplace matches
RECALLS = np.linspace(0, 1, 101)
RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # of area: all, small, medium, large
LIMITS = (1, 10, 100)


class ClassTable(NamedTuple):
    """What COCO's numbers are means of, for one class; -1 where it has no object of that area.

    Attributes:
      objects: `[areas]`.
      precision: `[areas, thresholds]`, the average over 101 recalls.
      recall: `[limits, areas, thresholds]`, with at most so many detections an image.
      curve: at IoU .50.
    """

    objects: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    curve: Curve


def coco_scores(detections: Columns, truths: Columns) -> dict[str, float]:
    """COCO's 12 numbers, as pycocotools gives them: -1 where no class has an object to find.

    Args:
      detections: by image, as lists of arrays or padded arrays: `boxes` `[n, 4]` xyxy in pixels, `scores` `[n]`,
        `classes` `[n]`, -1 = padding.
      truths: likewise `boxes` and `classes`, and optionally `crowd` (bool), `difficult` (bool: neither missed, nor is
        its finder counted) and `area` (square pixels; that of the box where it is not given).

    Returns:
      `map`, `map50`, `map75`, `map_small`, `map_medium`, `map_large`: mean average precision over IoU .50 to .95,
      at .50 and .75, and by the object's area (under 32², to 96², above); `mar_1`, `mar_10`, `mar_100`, `mar_small`,
      `mar_medium`, `mar_large`: mean recall with at most so many detections a class and image.

    Raises:
      ValueError: detections and truths are not of equally many images.

    >>> box, label = [np.array([[0.0, 0, 50, 50]])], [np.array([3])]
    >>> found = coco_scores(
    ...     {"boxes": box, "scores": [np.array([0.9])], "classes": label}, {"boxes": box, "classes": label}
    ... )
    >>> round(found["map"], 6), found["map_small"]
    (1.0, -1.0)
    """
    tables = coco_tables(detections, truths).values()
    precision = np.array([one.precision for one in tables]).reshape(-1, 4, 10)  # [K, areas, thresholds]
    recall = np.array([one.recall for one in tables]).reshape(-1, 3, 4, 10)  # [K, limits, areas, thresholds]
    found = {
        "map": precision[:, 0],
        "map50": precision[:, 0, 0],
        "map75": precision[:, 0, 5],
        **{f"map_{name}": precision[:, i] for i, name in enumerate(("small", "medium", "large"), 1)},
        **{f"mar_{limit}": recall[:, i, 0] for i, limit in enumerate(LIMITS)},
        **{f"mar_{name}": recall[:, 2, i] for i, name in enumerate(("small", "medium", "large"), 1)},
    }
    return {name: float(v[v > -1].mean()) if (v > -1).any() else -1.0 for name, v in found.items()}


def coco_tables(detections: Columns, truths: Columns) -> dict[int, ClassTable]:
    """The table of every class that has an object.

    Args: as in `coco_scores`.
    """
    found = match(detections, truths, thresholds=THRESHOLDS, ranges=RANGES, limit=LIMITS[-1])
    tables = {}
    for k, objects in found.objects.items():
        of_class = slice(*np.searchsorted(found.classes, (k, k + 1)))
        columns = (column[of_class] for column in (found.scores, found.rank, found.hit, found.ignored))
        tables[k] = _table(*columns, objects)
    return tables


def _table(
    scores: np.ndarray, rank: np.ndarray, hit: np.ndarray, ignored: np.ndarray, objects: np.ndarray
) -> ClassTable:
    right, share = hit & ~ignored, np.maximum(objects, 1)
    recall = np.stack([right[rank < limit].sum(0) / share[:, None] for limit in LIMITS])
    order = np.argsort(-scores, kind="stable")
    right, counted = right[order], (~ignored[order]).cumsum(0)
    # Precision falls between two right detections, so the envelope is that of the right ones.
    some = right.any((1, 2))
    true = right[some].cumsum(0)
    envelope = np.maximum.accumulate((true / np.maximum(counted[some], 1))[::-1])[::-1]
    precision = np.stack([_mean(right[some][:, a], envelope[:, a], n) for a, n in enumerate(share)])
    none = objects == 0
    precision[none], recall[:, none] = -1, -1
    kept = ~ignored[order][:, 0, 0]
    true = right[kept, 0, 0].cumsum()
    curve = Curve(scores[order][kept], true / np.arange(1, len(true) + 1), true / share[0], int(objects[0]))
    return ClassTable(objects, precision, recall, curve)


def _mean(right: np.ndarray, envelope: np.ndarray, objects: int) -> np.ndarray:
    """Mean precision `[T]` at 101 recalls, 0 where a recall is not reached; of detections `[n, T]`."""
    needed = np.searchsorted(np.arange(objects + 1) / objects, RECALLS)  # right detections for each recall
    places = np.argsort(~right, axis=0, kind="stable")  # of the right ones, then the others
    reached = needed[:, None] <= right.sum(0)
    if not len(right):
        return np.zeros(right.shape[1])
    place = np.take_along_axis(places, np.minimum(np.maximum(needed - 1, 0), len(right) - 1)[:, None], 0)
    return np.where(reached, np.take_along_axis(envelope, place, 0), 0).mean(0)
