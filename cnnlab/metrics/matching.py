"""Which detection finds which object: COCO's greedy rule, at all thresholds and area ranges at once."""

from typing import NamedTuple

import numpy as np

from cnnlab.ops import boxes as geometry


class Matches(NamedTuple):
    """The detections of one class in one image, by falling score, in A area ranges at T thresholds."""

    scores: np.ndarray  # [n]
    hit: np.ndarray  # [n, A, T] bool, took an object
    ignored: np.ndarray  # [n, A, T] bool, counts neither for nor against
    objects: np.ndarray  # [A], how many were to be found


def match(
    boxes: np.ndarray,
    scores: np.ndarray,
    true_boxes: np.ndarray,
    crowd: np.ndarray,
    true_areas: np.ndarray,
    *,
    thresholds: np.ndarray,
    ranges: np.ndarray,
    limit: int,
) -> Matches:
    """Each detection, best first, takes the free object that it overlaps most, if by the threshold at least.

    Objects outside the area range and crowds are taken only where no other fits; who takes one is ignored, as is who
    takes none and lies outside the range itself. A crowd may be taken many times, its overlap is the share of the
    detection within it. Of equal overlaps the last object is taken, of equal scores the first detection goes first.

    Source: pycocotools, `COCOeval.evaluateImg`.

    Args:
      boxes: `[n, 4]` xyxy.
      scores: `[n]`.
      true_boxes: `[m, 4]`.
      crowd: `[m]` bool.
      true_areas: `[m]` in square pixels.
      thresholds: `[T]` of IoU.
      ranges: `[A, 2]` of area, both ends within.
      limit: of detections, the best.
    """
    order = np.argsort(-scores, kind="stable")[:limit]
    boxes, scores = boxes[order], scores[order]
    low, high = ranges[:, :1], ranges[:, 1:]
    skip = crowd | (true_areas < low) | (true_areas > high)  # [A, m]
    areas = geometry.area(boxes)[:, None]
    outside = (areas < low[:, 0]) | (areas > high[:, 0])  # [n, A]
    hit = np.zeros((len(boxes), len(ranges), len(thresholds)), bool)
    ignored = np.zeros_like(hit)
    if len(true_boxes):
        overlap = _overlap(boxes, true_boxes, crowd)
        free = np.ones((len(ranges), len(thresholds), len(true_boxes)), bool)
        for i in np.flatnonzero(overlap.max(1) >= thresholds.min() - 1e-9):
            fits = free & (overlap[i] >= np.minimum(thresholds, 1 - 1e-10)[:, None])
            counts = fits & ~skip[:, None]
            fits = np.where(counts.any(-1, keepdims=True), counts, fits)
            found = len(true_boxes) - 1 - np.where(fits, overlap[i], -1)[..., ::-1].argmax(-1)  # [A, T]
            hit[i] = fits.any(-1)
            a, t = np.nonzero(hit[i])
            ignored[i, a, t] = skip[a, found[a, t]]
            free[a, t, found[a, t]] = crowd[found[a, t]]
    ignored |= ~hit & outside[..., None]
    return Matches(scores, hit, ignored, (~skip).sum(1))


def _overlap(boxes: np.ndarray, true_boxes: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU, with a crowd the share of the box within it, `[n, m]`."""
    overlap = geometry.iou(boxes, true_boxes)
    if crowd.any():
        a, b = boxes[:, None], true_boxes[crowd]
        side = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
        overlap[:, crowd] = side.prod(-1) / np.maximum(geometry.area(boxes), np.finfo(float).tiny)[:, None]
    return overlap
