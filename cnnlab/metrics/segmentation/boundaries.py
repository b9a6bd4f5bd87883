"""Agreement of outlines within a tolerance of a few pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class BoundaryCounts(NamedTuple):
    """Pixel counts of outlines, which add up over images and tiles (`merge`).

    Attributes:
      guessed: number of pixels of the predicted outlines.
      guessed_right: number of those pixels that are near a true outline.
      true: number of pixels of the true outlines.
      recalled: number of those pixels that are near a predicted outline.
    """

    guessed: int
    guessed_right: int
    true: int
    recalled: int

    def merge(self, other: BoundaryCounts) -> BoundaryCounts:
        """Adds two counts."""
        return BoundaryCounts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def precision(self) -> float:
        """Returns the share of predicted outline pixels near a true outline; NaN without predicted pixels."""
        return self.guessed_right / self.guessed if self.guessed else float("nan")

    @property
    def recall(self) -> float:
        """Returns the share of true outline pixels near a predicted outline; NaN without true pixels."""
        return self.recalled / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Returns the harmonic mean of precision and recall; 0 if nothing is correct, NaN without any outline."""
        if not self.guessed and not self.true:
            return float("nan")
        if not self.guessed_right or not self.recalled:
            return 0.0
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def boundary_counts(
    guess: np.ndarray, truth: np.ndarray, *, tolerance: float = 2.0, inside: np.ndarray | None = None
) -> BoundaryCounts:
    """Counts the pixels of two outlines that lie within `tolerance` pixels of each other.

    The counts of tiles add up to the counts of the whole image if each tile includes a margin of `tolerance` pixels on
    every side, and `inside` marks the tile without its margin.

    Source: Martin, Fowlkes and Malik, Learning to Detect Natural Image Boundaries, PAMI 26, 2004, without matching
    pixels one to one; Csurka et al., What is a Good Evaluation Measure for Semantic Segmentation?, BMVC 2013.

    Args:
      guess: `[H, W]` bool, predicted outlines; lines may be thick.
      truth: `[H, W]` bool, true outlines.
      tolerance: largest Euclidean distance in pixels between centres of pixels.
      inside: `[H, W]` bool, pixels that count; pixels outside may still be near them. By default all pixels count.

    Raises:
      ValueError: the shapes of the arrays differ or are not `[H, W]`, or the tolerance is below 0.

    >>> counts = boundary_counts(np.eye(4) > 0, np.eye(4, k=1) > 0, tolerance=1)
    >>> counts.guessed, counts.guessed_right, counts.true, counts.f1
    (4, 4, 3, 1.0)
    """
    guess, truth = np.asarray(guess, bool), np.asarray(truth, bool)
    inside = np.ones(guess.shape, bool) if inside is None else np.asarray(inside, bool)
    if not guess.shape == truth.shape == inside.shape or guess.ndim != 2:
        shapes = [list(array.shape) for array in (guess, truth, inside)]
        raise ValueError(f"guess, truth and inside must share one shape [H, W], found {shapes}")
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 pixels or more, found {tolerance}")
    near_truth, near_guess = (_near(lines, tolerance) for lines in (truth, guess))
    guess, truth = guess & inside, truth & inside
    return BoundaryCounts(
        int(guess.sum()), int((guess & near_truth).sum()), int(truth.sum()), int((truth & near_guess).sum())
    )


def ridges(probability: np.ndarray, above: float) -> np.ndarray:
    """Returns the pixels on the crests of a map of outline probabilities.

    A pixel is on a crest if it is above the level `above`, and not below its two neighbours along one axis: the row or
    the column, whichever varies more over the three pixels. If both vary equally, it must not be below any of the four
    neighbours.

    A threshold alone gives lines as thick as the network learnt them, and each extra pixel of a thick line counts as a
    wrong prediction. So outlines are thinned before they are compared (Martin, Fowlkes and Malik 2004). A flat crest
    stays as thick as it is.

    Source: non-maximum suppression along the two axes; Canny, A Computational Approach to Edge Detection, PAMI 8, 1986.

    Args:
      probability: `[H, W]` probability of an outline, without NaN.
      above: level that a crest must exceed.

    Returns:
      `[H, W]` bool.

    >>> ridges(np.array([[0.1, 0.6, 0.9, 0.7, 0.2]] * 3), 0.5)[1].astype(int).tolist()
    [0, 0, 1, 0, 0]
    """
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    probability = np.asarray(probability)
    row, column = (ndimage.maximum_filter1d(probability, 3, axis, mode="nearest") for axis in (1, 0))
    in_row, in_column = (
        high - ndimage.minimum_filter1d(probability, 3, axis, mode="nearest") for high, axis in ((row, 1), (column, 0))
    )
    highest = np.select([in_row > in_column, in_row < in_column], [row, column], np.maximum(row, column))
    return (probability == highest) & (probability > above)


def outlines(mask: np.ndarray) -> np.ndarray:
    """Returns the pixels `[H, W]` of a mask that touch another class on one of four sides; ignored pixels do not count.

    >>> outlines(np.array([[0, 0, 1, 1]])).astype(int).tolist()
    [[0, 1, 1, 0]]
    """
    mask = np.asarray(mask)
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        low, high = (np.take(mask, range(a, b), axis) for a, b in ((0, mask.shape[axis] - 1), (1, mask.shape[axis])))
        differs = (low != high) & (low >= 0) & (high >= 0)
        before = [(0, 0), (0, 0)]
        before[axis] = (0, 1)
        edge |= np.pad(differs, before) | np.pad(differs, [pair[::-1] for pair in before])
    return edge


def _near(lines: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns the pixels within `tolerance` pixels of a line; no pixels without a line."""
    if not lines.any():
        return np.zeros(lines.shape, bool)
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    return ndimage.distance_transform_edt(~lines) <= tolerance + 1e-9
