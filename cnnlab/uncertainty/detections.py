"""Objects over passes: detections of each pass grouped by overlap, each group one object with its spread."""

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
      score: `[n]` mean score of the passes that found it.
      entropy: `[n]` of the mean probabilities, in nats.
      mutual_information: `[n]` entropy minus the mean entropy of the passes.
      frequency: `[n]` share of the passes that found it.
    """

    boxes: np.ndarray
    deviation: np.ndarray
    probs: np.ndarray
    score: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    frequency: np.ndarray


def group_passes(passes: Prediction, *, iou_threshold: float = 0.5, score_threshold: float = 0.1) -> GroupedDetections:
    """Groups the detections of all passes over one image, whatever their classes.

    The surest detection that is left starts a group; of every other pass the detection that overlaps it best joins, if
    by more than the threshold. So a group has one detection a pass at most.

    Source: Miller et al., Dropout Sampling for Robust Object Detection in Open-Set Conditions, ICRA 2018, section III.

    Args:
      passes: `boxes` `[T, m, 4]`, `score` `[T, m]`, `classes` `[T, m]` (-1 = none), `probs` `[T, m, k]`: what the task
        decodes each pass to.
      iou_threshold: detections that overlap by more are one object.
      score_threshold: detections scored no better are left out.

    Raises:
      ValueError: the threshold does not lie in 0..1.

    >>> one = {"boxes": np.array([[[0.0, 0, 10, 10]], [[2.0, 0, 10, 10]]]), "score": np.array([[0.9], [0.7]])}
    >>> one |= {"classes": np.zeros((2, 1), int), "probs": np.array([[[1.0, 0]], [[0.5, 0.5]]])}
    >>> found = group_passes(Prediction(one))
    >>> found.boxes.tolist(), found.deviation.tolist(), found.frequency.tolist()
    ([[1.0, 0.0, 10.0, 10.0]], [[1.0, 0.0, 0.0, 0.0]], [1.0])
    """
    if not 0 <= iou_threshold < 1:
        raise ValueError(f"iou_threshold must lie in 0..1, found {iou_threshold}")
    score = np.asarray(passes.score, np.float64)
    real = (np.asarray(passes.classes) >= 0) & (score > score_threshold)
    owner = np.broadcast_to(np.arange(len(score))[:, None], score.shape)[real]
    boxes, probs, score = (np.asarray(passes[name], np.float64)[real] for name in ("boxes", "probs", "score"))
    groups = _groups(boxes, score, owner, iou_threshold)
    groups.sort(key=len, reverse=True)  # stable: equally frequent ones stay in order of their best score
    mean = np.array([probs[group].mean(0) for group in groups]).reshape(-1, probs.shape[-1])
    inside = np.array([entropy(probs[group]).mean() for group in groups])
    total = entropy(mean)
    return GroupedDetections(
        np.array([boxes[group].mean(0) for group in groups]).reshape(-1, 4),
        np.array([boxes[group].std(0) for group in groups]).reshape(-1, 4),
        mean,
        np.array([score[group].mean() for group in groups]),
        total,
        mutual_information(total, inside),
        np.array([len(group) / len(passes.score) for group in groups]),
    )


def grouped_prediction(passes: Prediction) -> Prediction:
    """Returns the objects of `group_passes` as a prediction, from which a task makes records and drawings."""
    objects = group_passes(passes)
    return Prediction(objects._asdict(), classes=objects.probs.argmax(-1))


def _groups(boxes: np.ndarray, score: np.ndarray, owner: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Places of the detections of each group, one a pass at most."""
    overlap = iou(boxes, boxes)
    free = np.ones(len(boxes), bool)
    groups = []
    for first in np.argsort(-score, kind="stable"):
        if not free[first]:
            continue
        group = [first]
        for one in np.unique(owner[free & (owner != owner[first])]):
            candidates = np.flatnonzero(free & (owner == one))
            best = candidates[overlap[first, candidates].argmax()]
            if overlap[first, best] > threshold:
                group.append(best)
        free[group] = False
        groups.append(np.array(group))
    return groups
