"""Average precision of boxes."""

import numpy as np

from cnnlab.ops.boxes import iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # in double precision, as pycocotools: float32 would misplace matches
RECALLS = np.linspace(0, 1, 101)


def mean_average_precision(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, true_boxes: np.ndarray, true_classes: np.ndarray
) -> dict[str, float]:
    """`map` over IoU thresholds .50 to .95 and `map50`, by COCO's rule: greedy matches by falling score, 101 recalls.

    Classes without a true box are left out. No crowds, no area ranges, no limit on detections.

    Args:
      boxes: `[n, m, 4]` xyxy, found in each of n images.
      scores: `[n, m]`; 0 or less is no detection.
      classes: `[n, m]`.
      true_boxes: `[n, t, 4]`.
      true_classes: `[n, t]`, -1 = padding.
    """
    present = np.unique(true_classes[true_classes >= 0])
    if not len(present):
        return {"map": float("nan"), "map50": float("nan")}
    table = np.array([_class_ap(k, boxes, scores, classes, true_boxes, true_classes) for k in present])
    return {"map": float(table.mean()), "map50": float(table[:, 0].mean())}


def _class_ap(k: int, boxes, scores, classes, true_boxes, true_classes) -> np.ndarray:
    """Average precision of class k at each threshold."""
    found, hits = [], []
    for image in range(len(boxes)):
        mine = np.flatnonzero((classes[image] == k) & (scores[image] > 0))
        mine = mine[np.argsort(-scores[image, mine], kind="stable")]
        truths = np.asarray(true_boxes[image][true_classes[image] == k], np.float64)
        found.append(scores[image, mine])
        hits.append(_match(iou(np.asarray(boxes[image, mine], np.float64), truths)))
    order = np.argsort(-np.concatenate(found), kind="stable")
    hit = np.concatenate(hits)[order].astype(np.float64)  # [detections, thresholds]
    if not len(hit):
        return np.zeros(len(THRESHOLDS))
    recall = hit.cumsum(0) / (true_classes == k).sum()
    precision = hit.cumsum(0) / np.arange(1, len(hit) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return np.array([_interpolate(recall[:, t], envelope[:, t]) for t in range(len(THRESHOLDS))])


def _match(overlap: np.ndarray) -> np.ndarray:
    """Which detections (in order of score) hit a truth that no earlier one took, `[detections, thresholds]`."""
    hit = np.zeros((len(overlap), len(THRESHOLDS)), bool)
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(overlap.shape[1], bool)
        for i, row in enumerate(overlap):
            candidate = np.where(free, row, -1.0)
            if candidate.size and candidate.max() >= threshold:
                free[candidate.argmax()] = False
                hit[i, t] = True
    return hit


def _interpolate(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean precision at 101 recalls, 0 where a recall is not reached."""
    place = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())
