"""Scores of each class's shapes over many images, by their outlines and one by one."""

import math
from collections.abc import Iterable

import numpy as np

from cnnlab.metrics.segmentation.boundaries import BoundaryCounts, boundary_counts, outlines
from cnnlab.metrics.segmentation.panoptic import PanopticCounts, panoptic_counts, shapes
from cnnlab.metrics.segmentation.rand import partition_agreement, thin_borders


def shape_scores(
    guesses: Iterable[np.ndarray], masks: Iterable[np.ndarray], num_classes: int, *, tolerance: float = 2.0
) -> dict[str, list[float]]:
    """Computes `boundary_f1` and `panoptic_quality` of each class over all images, and the mean `v_rand` and `v_info`.

    A class's outlines are its pixels beside other classes, and theirs beside it; its shapes are its parts that are
    connected without corners. Pixels without a class belong to none and have no outline. V-Rand and V-Info are of the
    images that show two shapes of the class or more, guessed ones with their borders thinned (`thin_borders`): they
    tell how well shapes are held apart, not whether they are counts.

    Args:
      guesses: `[H, W]` classes each.
      masks: `[H, W]` true classes each, -1 = no class.
      num_classes: k.
      tolerance: tolerance of outlines, in pixels, as in `boundary_counts`.

    Returns:
      k numbers each; NaN of a class that occurs in neither; V-Rand and V-Info of one without such an image.

    >>> mask = np.zeros((8, 8), int)
    >>> mask[2:6, 2:6] = 1
    >>> shape_scores([np.roll(mask, 1, 0)], [mask], 2)["panoptic_quality"][1]  # 12 of 20 pixels are shared
    0.6
    """
    outline = [BoundaryCounts(0, 0, 0, 0)] * num_classes
    counts = [PanopticCounts(0.0, 0, 0, 0)] * num_classes
    agreed = [[] for _ in range(num_classes)]
    for guess, mask in zip(guesses, masks, strict=True):
        known = mask >= 0
        for k in np.union1d(guess[known], mask[known]).tolist():
            part = _around(known & ((guess == k) | (mask == k)), math.ceil(tolerance) + 1)
            mine, true = (np.where(known, one == k, -1)[part] for one in (guess, mask))
            lines = boundary_counts(outlines(mine), outlines(true), tolerance=tolerance, inside=known[part])
            outline[k] = outline[k].merge(lines)
            mine, true = shapes(mine == 1), shapes(true == 1)
            counts[k] = counts[k].merge(panoptic_counts(mine, true))
            if true.max() > 1:
                agreed[k].append(partition_agreement(thin_borders(mine), true))
    return {
        "boundary_f1": [one.f1 for one in outline],
        "panoptic_quality": [one.quality for one in counts],
        "v_rand": [_mean([one.rand for one in each]) for each in agreed],
        "v_info": [_mean([one.info for one in each]) for each in agreed],
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _around(place: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Returns the smallest part of an image that contains some pixels and a margin on every side."""
    ends = [np.flatnonzero(place.any(axis)) for axis in (1, 0)]
    return tuple(slice(max(end[0] - margin, 0), end[-1] + 1 + margin) for end in ends)
