"""Calibration of detection scores."""

import numpy as np

from cnnlab.metrics.calibration.errors import ece_floor, expected_calibration_error
from cnnlab.metrics.detection.matching import Columns, match


def scored_detections(
    detections: Columns, truths: Columns, *, iou_threshold: float = 0.5, score_threshold: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the score `[n]` of each detection and whether it matches an object of its class `[n]`, by COCO's rules.

    Detections that match difficult objects or crowds are left out.

    Args:
      detections: as in `coco_scores`.
      truths: as in `match`.
      iou_threshold: smallest IoU of a detection with the object that it matches.
      score_threshold: smallest score; lower detections are left out, because most of them are obvious background.
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

    Args: as in `scored_detections`; `bins` is the number of bins over (0, 1].

    >>> box = [np.array([[0.0, 0, 10, 10]])]
    >>> detections = {"boxes": box, "scores": [np.array([0.75])], "classes": [np.array([0])]}
    >>> detection_calibration(detections, {"boxes": box, "classes": [np.array([0])]})["ece"]
    0.25
    """
    scores, right = scored_detections(detections, truths, iou_threshold=iou_threshold, score_threshold=score_threshold)
    if not len(scores):
        return {"ece": float("nan"), "ece_floor": float("nan")}
    return {"ece": expected_calibration_error(scores, right, bins), "ece_floor": ece_floor(scores, bins)}
