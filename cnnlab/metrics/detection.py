"""Average precision of boxes."""

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.metrics.matching import Matches, match
from cnnlab.ops import boxes as geometry

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # in double precision, as pycocotools: float32 would misplace matches
RECALLS = np.linspace(0, 1, 101)
RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # of area: all, small, medium, large
LIMITS = (1, 10, 100)

Columns = Mapping[str, Sequence[np.ndarray]]


def coco_scores(detections: Columns, truths: Columns) -> dict[str, float]:
    """COCO's 12 numbers, as pycocotools gives them: -1 where no class has an object to find.

    Args:
      detections: by image, as lists of arrays or padded arrays: `boxes` `[n, 4]` xyxy in pixels, `scores` `[n]`,
        `classes` `[n]`, -1 = padding.
      truths: likewise `boxes` and `classes`, and optionally `crowd` (bool) and `area` (square pixels; that of the box
        where it is not given).

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
    tables = [_table(of_class) for of_class in _matches(detections, truths)]
    precision = np.array([p for p, _ in tables]).reshape(-1, 4, 10)  # [K, areas, thresholds]
    recall = np.array([r for _, r in tables]).reshape(-1, 3, 4, 10)  # [K, limits, areas, thresholds]
    found = {
        "map": precision[:, 0],
        "map50": precision[:, 0, 0],
        "map75": precision[:, 0, 5],
        **{f"map_{name}": precision[:, i] for i, name in enumerate(("small", "medium", "large"), 1)},
        **{f"mar_{limit}": recall[:, i, 0] for i, limit in enumerate(LIMITS)},
        **{f"mar_{name}": recall[:, 2, i] for i, name in enumerate(("small", "medium", "large"), 1)},
    }
    return {name: float(v[v > -1].mean()) if (v > -1).any() else -1.0 for name, v in found.items()}


def _matches(detections: Columns, truths: Columns) -> list[list[Matches]]:
    """By class that has an object, then by image that has one or a detection of it."""
    if len(detections["boxes"]) != len(truths["boxes"]):
        images = len(detections["boxes"]), len(truths["boxes"])
        raise ValueError(
            f"detections are of {images[0]} images, truths of {images[1]}: give one entry an image to both"
        )
    labels = [np.asarray(x).ravel() for x in truths["classes"]]
    present = np.unique(np.concatenate([x[x >= 0] for x in labels])) if labels else []
    table: list[list[Matches]] = [[] for _ in present]
    for i, label in enumerate(labels):
        boxes = np.asarray(detections["boxes"][i], np.float64).reshape(-1, 4)
        scores, classes = (np.asarray(detections[name][i]).ravel() for name in ("scores", "classes"))
        true_boxes = np.asarray(truths["boxes"][i], np.float64).reshape(-1, 4)
        crowd = np.asarray(truths["crowd"][i], bool) if "crowd" in truths else np.zeros(len(label), bool)
        areas = np.asarray(truths["area"][i], np.float64) if "area" in truths else geometry.area(true_boxes)
        for k, row in zip(present, table, strict=True):
            mine, true = classes == k, label == k
            if mine.any() or true.any():
                one = match(
                    boxes[mine],
                    scores[mine],
                    true_boxes[true],
                    crowd[true],
                    areas[true],
                    thresholds=THRESHOLDS,
                    ranges=RANGES,
                    limit=LIMITS[-1],
                )
                row.append(one)
    return table


def _table(matches: Sequence[Matches]) -> tuple[np.ndarray, np.ndarray]:
    """Precision `[areas, thresholds]` and recall `[limits, areas, thresholds]` of a class; -1 without objects."""
    objects = sum(m.objects for m in matches)
    order = np.argsort(-np.concatenate([m.scores for m in matches]), kind="stable")
    hit, ignored = (np.concatenate([getattr(m, name) for m in matches]) for name in ("hit", "ignored"))
    right = hit & ~ignored
    rank = np.concatenate([np.arange(len(m.scores)) for m in matches])
    share = np.maximum(objects, 1)[:, None]
    recall = np.stack([right[rank < limit].sum(0) / share for limit in LIMITS])
    true = right[order].cumsum(0)
    counted = (~ignored)[order].cumsum(0)
    envelope = np.maximum.accumulate((true / np.maximum(counted, 1))[::-1])[::-1]
    reached = true / share
    precision = np.zeros(recall.shape[1:])
    for a, t in np.ndindex(precision.shape):
        if len(order):
            precision[a, t] = _interpolate(reached[:, a, t], envelope[:, a, t])
    none = objects == 0
    precision[none], recall[:, none] = -1, -1
    return precision, recall


def _interpolate(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean precision at 101 recalls, 0 where a recall is not reached."""
    place = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())
