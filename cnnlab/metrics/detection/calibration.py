"""Calibration of detection scores."""

import numpy as np

from cnnlab.metrics.calibration.errors import ece_floor, expected_calibration_error
from cnnlab.metrics.detection.matching import Columns, match


def scored_detections(
    detections: Columns, truths: Columns, *, iou_threshold: float = 0.5, score_threshold: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the score `[n]` of each detection and whether it matches an object of its class `[n]`, by COCO's rules.

    Args:
      detections: as in `coco_scores`.
      truths: as in `match`; detections of difficult objects and crowds are left out.
      iou_threshold: from which a box finds an object.
      score_threshold: detections scored lower are left out: most of them are background, and known to be.
    """
    matches = match(detections, truths, thresholds=np.array([iou_threshold]), score_threshold=score_threshold)
    counted = ~matches.ignored[:, 0, 0]
    return matches.scores[counted], matches.hit[counted, 0, 0]


def detection_calibration(
    detections: Columns, truths: Columns, *, bins: int = 15, iou_threshold: float = 0.5, score_threshold: float = 0.3
) -> dict[str, float]:
    """Computes `ece`, the calibration error of the scores, and its `ece_floor`; NaN without detections.

    Source: Küppers et al., Multivariate Confidence Calibration for Object Detection, CVPR Workshops 2020, with the
    score as the only variable.

    Args: as in `scored_detections`, and the number of bins.

    >>> box = [np.array([[0.0, 0, 10, 10]])]
    >>> detections = {"boxes": box, "scores": [np.array([0.75])], "classes": [np.array([0])]}
    >>> detection_calibration(detections, {"boxes": box, "classes": [np.array([0])]})["ece"]
    0.25
    """
    scores, right = scored_detections(detections, truths, iou_threshold=iou_threshold, score_threshold=score_threshold)
    if not len(scores):
        return {"ece": float("nan"), "ece_floor": float("nan")}
    return {"ece": expected_calibration_error(scores, right, bins), "ece_floor": ece_floor(scores, bins)}
