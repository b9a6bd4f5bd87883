"""Average precision by Pascal VOC's rules, and the curve behind it."""

from typing import Literal, NamedTuple

import numpy as np

from cnnlab.geometry.boxes import iou
from cnnlab.metrics.detection.matching import Columns


class Curve(NamedTuple):
    """Precision and recall of one class as detections are added by falling score; empty without detections.

    Attributes:
      scores: `[n]` scores of the detections, falling.
      precision: `[n]` precision of the detections up to each score.
      recall: `[n]` recall of the detections up to each score.
      objects: number of objects that are not difficult.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    objects: int


def voc_average_precision(
    detections: Columns, truths: Columns, *, iou_threshold: float = 0.5, points: Literal["every", "11"] = "every"
) -> dict[int, float]:
    """Computes the average precision of every class with an object that is not difficult.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 111, 2015.

    Args:
      detections: as in `coco_scores`.
      truths: for each image `boxes` and `classes`, and optionally `difficult` (bool): missing a difficult object costs
        nothing, and detecting it does not count.
      iou_threshold: smallest IoU of a detection with the object that it matches. VOC's boxes include their last pixel:
        add 1 to the right and the bottom of such boxes.
      points: `every` for the area under the falling envelope (VOC since 2010), `11` for the mean of the envelope at the
        recalls 0, .1, ..., 1 (VOC before 2010).

    Raises:
      ValueError: detections and truths have different numbers of images, or `points` is unknown.

    >>> box, label = [np.array([[0.0, 0, 50, 50]])], [np.array([3])]
    >>> detections = {"boxes": box, "scores": [np.array([0.9])], "classes": label}
    >>> voc_average_precision(detections, {"boxes": box, "classes": label})
    {3: 1.0}
    """
    if points not in ("every", "11"):
        raise ValueError(f"points must be 'every' or '11', found {points!r}")
    curves = precision_recall_curves(detections, truths, iou_threshold=iou_threshold)
    return {k: _area(curve, points) for k, curve in curves.items() if curve.objects}


def precision_recall_curves(detections: Columns, truths: Columns, *, iou_threshold: float = 0.5) -> dict[int, Curve]:
    """Computes the precision-recall curve of every class that has an object, by VOC's matching.

    A detection is matched with the object of its class that it overlaps most. It is wrong if an earlier detection has
    taken that object.

    Args: as in `voc_average_precision`.
    """
    images = len(truths["boxes"])
    if len(detections["boxes"]) != images:
        raise ValueError(
            f"detections have {len(detections['boxes'])} images, truths have {images}; give both one entry per image"
        )
    labels = [np.asarray(classes).ravel() for classes in truths["classes"]]
    hard = [np.asarray(flags, bool) for flags in truths.get("difficult", [np.zeros(len(k), bool) for k in labels])]
    present = np.unique(np.concatenate(labels)) if labels else np.zeros(0, int)
    curves = {}
    for k in present[present >= 0].tolist():
        scores, right, wrong = [], [], []
        for i, label in enumerate(labels):
            of_image = np.asarray(detections["scores"][i]).ravel()
            mine = np.flatnonzero((np.asarray(detections["classes"][i]).ravel() == k) & ~np.isnan(of_image))
            of_image = of_image[mine]
            mine, of_image = mine[order := np.argsort(-of_image, kind="stable")], of_image[order]
            boxes = np.asarray(detections["boxes"][i], np.float64).reshape(-1, 4)[mine]
            true_boxes = np.asarray(truths["boxes"][i], np.float64).reshape(-1, 4)[label == k]
            hit, missed = _match(iou(boxes, true_boxes), hard[i][label == k], iou_threshold)
            scores, right, wrong = [*scores, of_image], [*right, hit], [*wrong, missed]
        flat = np.concatenate(scores)
        order = np.argsort(-flat, kind="stable")
        tp, fp = (np.concatenate(part)[order].cumsum() for part in (right, wrong))
        objects = int(sum((~hard[i][label == k]).sum() for i, label in enumerate(labels)))
        curves[k] = Curve(flat[order], tp / np.maximum(tp + fp, 1), tp / max(objects, 1), objects)
    return curves


def _match(overlap: np.ndarray, difficult: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns which detections, by falling score, are correct and which are wrong; neither on a difficult object."""
    right, wrong = np.zeros(len(overlap), bool), np.zeros(len(overlap), bool)
    taken = np.zeros(len(difficult), bool)
    for i, row in enumerate(overlap):
        best = row.argmax() if row.size else -1
        if best < 0 or row[best] < threshold:
            wrong[i] = True
        elif not difficult[best]:
            right[i], wrong[i] = not taken[best], taken[best]
            taken[best] = True
    return right, wrong


def _area(curve: Curve, points: str) -> float:
    if points == "11":
        # No tolerance, as in other implementations: a recall of 9/15 does not reach .6, stored as .6000000000000001.
        at = [curve.precision[curve.recall >= r] for r in np.linspace(0, 1, 11)]
        return float(np.mean([part.max() if len(part) else 0 for part in at]))
    recall, precision = np.r_[0, curve.recall], np.r_[curve.precision, 0]
    envelope = np.maximum.accumulate(precision[::-1])[::-1][:-1]
    return float((np.diff(recall) * envelope).sum())
