"""Errors of detection: wrong boxes and missed objects, by their cause."""

import numpy as np

from cnnlab.geometry.boxes import iou
from cnnlab.metrics.detection.matching import Columns, share_within

CAUSES = ("correct", "localisation", "confusion", "duplicate", "background", "both", "missed")


def detection_errors(
    detections: Columns,
    truths: Columns,
    *,
    score_threshold: float = 0.3,
    found_above: float = 0.5,
    near_above: float = 0.1,
) -> dict[str, int]:
    """Counts detections and missed objects by their cause in `CAUSES`, over all images.

    A detection is on an object if their IoU is at least `found_above`, and near it if their IoU is at least
    `near_above`. In the order of falling scores, each detection gets the first cause that fits:

    * `correct`: on a free object of its class; it takes the one with the largest IoU.
    * `localisation`: near an object of its class, and on none.
    * `confusion`: on an object of another class.
    * `duplicate`: on an object of its class that a better detection took.
    * `background`: near no object.
    * `both`: near an object of another class.

    An object is `missed` if no detection of any class is on it, and no detection of its own class is near it. Difficult
    objects and crowds cannot be missed. A detection that is not correct, and is on a difficult object or within a crowd
    of its class, is not counted.

    Source: the error types of Bolya et al., TIDE, ECCV 2020.

    Args:
      detections: as in `coco_scores`.
      truths: as in `match`.
      score_threshold: smallest score; lower detections are left out.
      found_above: smallest IoU of a detection that is on an object.
      near_above: smallest IoU of a detection that is near an object.

    >>> box = [np.array([[0.0, 0, 10, 10]])]
    >>> detections = {"boxes": box, "scores": [np.array([0.9])], "classes": [np.array([1])]}
    >>> {name: n for name, n in detection_errors(detections, {"boxes": box, "classes": [np.array([0])]}).items() if n}
    {'confusion': 1}
    """
    if not 0 <= near_above <= found_above <= 1:
        raise ValueError(f"0 <= near_above <= found_above <= 1 must hold, found {near_above} and {found_above}")
    if len(detections["boxes"]) != len(truths["boxes"]):
        raise ValueError(
            f"detections have {len(detections['boxes'])} images, truths have {len(truths['boxes'])}; "
            "give both one entry per image"
        )
    counts = dict.fromkeys(CAUSES, 0)
    for i in range(len(truths["boxes"])):
        scores, classes = (np.asarray(detections[name][i]).ravel() for name in ("scores", "classes"))
        chosen = np.flatnonzero((scores >= score_threshold) & (classes >= 0))
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        boxes, classes = np.asarray(detections["boxes"][i], np.float64).reshape(-1, 4)[chosen], classes[chosen]
        labels = np.asarray(truths["classes"][i]).ravel()
        true_boxes = np.asarray(truths["boxes"][i], np.float64).reshape(-1, 4)
        difficult, crowd = (
            np.asarray(truths[name][i], bool).ravel() if name in truths else np.zeros(len(labels), bool)
            for name in ("difficult", "crowd")
        )
        overlap, same = iou(boxes, true_boxes), classes[:, None] == labels
        on_crowd = share_within(boxes[:, None], true_boxes) >= found_above
        excused = same & ((crowd & on_crowd) | (difficult & ~crowd & (overlap >= found_above)))
        counted = (labels >= 0) & ~crowd & ~difficult
        overlap, same = overlap[:, counted], same[:, counted]
        for cause in _causes(overlap, same, excused.any(1), found_above, near_above):
            counts[cause] += 1
        detected = (overlap >= found_above) | (same & (overlap >= near_above))
        counts["missed"] += int((~detected.any(0)).sum())
    return counts


def _causes(
    overlap: np.ndarray, same: np.ndarray, excused: np.ndarray, found_above: float, near_above: float
) -> list[str]:
    """Returns the cause of each detection that counts.

    Args:
      overlap: `[n, m]` IoU of each detection, best score first, with each object.
      same: `[n, m]` bool, whether detection and object have the same class.
      excused: `[n]` bool, whether each detection counts only if it is correct.
      found_above: smallest IoU of a detection that is on an object.
      near_above: smallest IoU of a detection that is near an object.
    """
    taken, out = np.zeros(overlap.shape[1], bool), []
    for row, alike, forgiven in zip(overlap, same, excused, strict=True):
        free = np.where(alike & ~taken, row, 0)
        mine, others = np.where(alike, row, 0).max(initial=0), np.where(alike, 0, row).max(initial=0)
        if free.max(initial=0) >= found_above:
            taken[free.argmax()] = True
            out.append("correct")
        elif forgiven:
            continue
        elif near_above <= mine < found_above:
            out.append("localisation")
        elif others >= found_above:
            out.append("confusion")
        elif mine >= found_above:
            out.append("duplicate")
        else:
            out.append("background" if max(mine, others) < near_above else "both")
    return out
