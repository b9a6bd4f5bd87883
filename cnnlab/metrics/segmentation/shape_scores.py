"""Scores of each class's shapes over many images, by outlines and by matched shapes."""

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

    The outlines of a class are the pixels on both sides of its border with other classes. Its shapes are its connected
    parts; a shared corner does not connect. Ignored pixels belong to no shape and have no outline.

    V-Rand and V-Info are averaged over the images with two or more true shapes of the class, after the borders of
    predicted shapes are thinned (`thin_borders`). They measure how well shapes are separated, not whether they are
    detected.

    Args:
      guesses: predicted classes `[H, W]` of each image.
      masks: true classes `[H, W]` of each image, -1 for ignored pixels.
      num_classes: number of classes k.
      tolerance: tolerance of outlines in pixels, as in `boundary_counts`.

    Returns:
      k numbers per score. The scores of a class that is neither true nor predicted anywhere are NaN, and so are V-Rand
      and V-Info of a class without an image with two true shapes.

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
            mine, true = (np.where(known, classes == k, -1)[part] for classes in (guess, mask))
            lines = boundary_counts(outlines(mine), outlines(true), tolerance=tolerance, inside=known[part])
            outline[k] = outline[k].merge(lines)
            mine, true = shapes(mine == 1), shapes(true == 1)
            counts[k] = counts[k].merge(panoptic_counts(mine, true))
            if true.max() > 1:
                agreed[k].append(partition_agreement(thin_borders(mine), true))
    return {
        "boundary_f1": [count.f1 for count in outline],
        "panoptic_quality": [count.quality for count in counts],
        "v_rand": [_mean([agreement.rand for agreement in agreements]) for agreements in agreed],
        "v_info": [_mean([agreement.info for agreement in agreements]) for agreements in agreed],
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _around(place: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Returns the slices of the smallest rectangle that contains the pixels of `place` and a margin on every side."""
    ends = [np.flatnonzero(place.any(axis)) for axis in (1, 0)]
    return tuple(slice(max(end[0] - margin, 0), end[-1] + 1 + margin) for end in ends)
