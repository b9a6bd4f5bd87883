"""Groups the detections of several passes by overlap. Each group is one object, with its spread over the passes."""

from typing import NamedTuple

import numpy as np

from cnnlab.geometry.boxes import iou
from cnnlab.tasks import Prediction
from cnnlab.uncertainty.moments import entropy, mutual_information


class GroupedDetections(NamedTuple):
    """The objects of one image over T passes, the most frequent first.

    Attributes:
      boxes: `[n, 4]` mean xyxy.
      deviation: `[n, 4]` standard deviation of each edge in pixels.
      probs: `[n, k]` mean class probabilities.
      score: `[n]` mean score over the passes that detect the object.
      entropy: `[n]` entropy of the mean probabilities, in nats.
      mutual_information: `[n]` entropy minus the mean entropy of the passes, in nats.
      frequency: `[n]` share of the passes that detect the object.
    """

    boxes: np.ndarray
    deviation: np.ndarray
    probs: np.ndarray
    score: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    frequency: np.ndarray


def group_passes(passes: Prediction, *, iou_threshold: float = 0.5, score_threshold: float = 0.1) -> GroupedDetections:
    """Groups the detections of all passes over one image into objects, whatever their classes.

    The detection with the highest score that is still free starts a group. From every other pass, the free detection
    with the largest IoU joins, if this IoU is above the threshold. A group thus holds at most one detection per pass.

    Source: Miller et al., Dropout Sampling for Robust Object Detection in Open-Set Conditions, ICRA 2018, section III.

    Args:
      passes: decoded prediction of each pass: `boxes` `[T, m, 4]`, `score` `[T, m]`, `classes` `[T, m]` (-1 = no box)
        and `probs` `[T, m, k]`.
      iou_threshold: detections whose IoU is above this are one object.
      score_threshold: detections with this score or a lower one are left out.

    Raises:
      ValueError: `iou_threshold` does not lie in 0..1.

    >>> passes = {"boxes": np.array([[[0.0, 0, 10, 10]], [[2.0, 0, 10, 10]]]), "score": np.array([[0.9], [0.7]])}
    >>> passes |= {"classes": np.zeros((2, 1), int), "probs": np.array([[[1.0, 0]], [[0.5, 0.5]]])}
    >>> objects = group_passes(Prediction(passes))
    >>> objects.boxes.tolist(), objects.deviation.tolist(), objects.frequency.tolist()
    ([[1.0, 0.0, 10.0, 10.0]], [[1.0, 0.0, 0.0, 0.0]], [1.0])
    """
    if not 0 <= iou_threshold < 1:
        raise ValueError(f"iou_threshold must lie in 0..1, found {iou_threshold}")
    score = np.asarray(passes.score, np.float64)
    real = (np.asarray(passes.classes) >= 0) & (score > score_threshold)
    owner = np.broadcast_to(np.arange(len(score))[:, None], score.shape)[real]
    boxes, probs, score = (np.asarray(passes[name], np.float64)[real] for name in ("boxes", "probs", "score"))
    groups = _groups(boxes, score, owner, iou_threshold)
    groups.sort(key=len, reverse=True)  # stable: groups of equal frequency stay in the order of their best score
    mean = np.array([probs[group].mean(0) for group in groups]).reshape(-1, probs.shape[-1])
    expected = np.array([entropy(probs[group]).mean() for group in groups])
    total = entropy(mean)
    return GroupedDetections(
        np.array([boxes[group].mean(0) for group in groups]).reshape(-1, 4),
        np.array([boxes[group].std(0) for group in groups]).reshape(-1, 4),
        mean,
        np.array([score[group].mean() for group in groups]),
        total,
        mutual_information(total, expected),
        np.array([len(group) / len(passes.score) for group in groups]),
    )


def grouped_prediction(passes: Prediction) -> Prediction:
    """Groups passes by `group_passes`, and returns the objects as a prediction for records and drawings."""
    objects = group_passes(passes)
    return Prediction(objects._asdict(), classes=objects.probs.argmax(-1))


def _groups(boxes: np.ndarray, score: np.ndarray, owner: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Returns the indices of the detections in each group, at most one per pass.

    Args:
      boxes: `[n, 4]` xyxy in pixels.
      score: `[n]`.
      owner: number `[n]` of the pass of each detection.
      threshold: smallest IoU of a group, exclusive.
    """
    overlap = iou(boxes, boxes)
    free = np.ones(len(boxes), bool)
    groups = []
    for first in np.argsort(-score, kind="stable"):
        if not free[first]:
            continue
        group = [first]
        for other in np.unique(owner[free & (owner != owner[first])]):
            candidates = np.flatnonzero(free & (owner == other))
            best = candidates[overlap[first, candidates].argmax()]
            if overlap[first, best] > threshold:
                group.append(best)
        free[group] = False
        groups.append(np.array(group))
    return groups
