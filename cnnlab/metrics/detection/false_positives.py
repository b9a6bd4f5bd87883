"""Tests how well uncertainty separates wrong boxes from correct ones."""

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.metrics.detection.matching import Columns, match
from cnnlab.metrics.separation import separation


def false_positive_auroc(
    detections: Columns,
    truths: Columns,
    doubts: Mapping[str, Sequence[np.ndarray]],
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
) -> dict[str, float]:
    """Computes for each uncertainty the probability that it is larger for a wrong detection than for a correct one.

    A detection is correct if it takes a free object of its class in COCO's matching. A detection that takes a difficult
    object or a crowd does not count.

    Args:
      detections: as in `coco_scores`.
      truths: as in `match`.
      doubts: uncertainties of the detections by name, in the layout of `scores`; larger is less certain.
      iou_threshold: smallest IoU of a detection with the object that it matches.
      score_threshold: smallest score; lower detections are left out.

    Returns:
      The AUROC of each uncertainty; NaN if all detections are correct or all are wrong.

    >>> boxes = [np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])]
    >>> detections = {"boxes": boxes, "scores": [np.array([0.8, 0.9])], "classes": [np.array([0, 0])]}
    >>> truths = {"boxes": [boxes[0][:1]], "classes": [np.array([0])]}
    >>> false_positive_auroc(detections, truths, {"entropy": [np.array([0.1, 0.6])], "score": [np.array([0.2, 0.1])]})
    {'entropy': 1.0, 'score': 0.0}
    """
    matches = match(detections, truths, thresholds=np.array([iou_threshold]), score_threshold=score_threshold)
    hit, counted = matches.hit[:, 0, 0], ~matches.ignored[:, 0, 0]
    out = {}
    for name, doubt in doubts.items():
        values = np.array([doubt[i][j] for i, j in zip(matches.image, matches.place, strict=True)])
        right, wrong = (values[counted & which] for which in (hit, ~hit))
        out[name] = separation(right, wrong).auroc if len(right) and len(wrong) else float("nan")
    return out
