"""Agreement of outlines within a tolerance of a few pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class BoundaryCounts(NamedTuple):
    """Pixel counts of outlines, which add up over images and tiles (`merge`)."""

    guessed: int
    guessed_right: int
    true: int
    recalled: int

    def merge(self, other: BoundaryCounts) -> BoundaryCounts:
        """Adds two counts."""
        return BoundaryCounts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def precision(self) -> float:
        """Returns the share of predicted pixels near a true one; NaN without any."""
        return self.guessed_right / self.guessed if self.guessed else float("nan")

    @property
    def recall(self) -> float:
        """Returns the share of true pixels near a predicted one; NaN without any."""
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

    Over tiles the sums are those of the whole image, if each tile is read with `tolerance` pixels more on every
    side and `inside` marks its own.

    Source: Martin, Fowlkes and Malik, Learning to Detect Natural Image Boundaries, PAMI 26, 2004, without matching one
    to one; Csurka et al., What is a Good Evaluation Measure for Semantic Segmentation?, BMVC 2013.

    Args:
      guess: `[H, W]`, where the guessed outlines are; lines may be thick.
      truth: `[H, W]`, where the true outlines are.
      tolerance: Euclidean distance between centres of pixels.
      inside: `[H, W]`, which pixels count; those outside may still be near. All if left out.

    Raises:
      ValueError: the shapes differ, or the tolerance is below 0.

    >>> counts = boundary_counts(np.eye(4) > 0, np.eye(4, k=1) > 0, tolerance=1)
    >>> counts.guessed, counts.guessed_right, counts.true, counts.f1
    (4, 4, 3, 1.0)
    """
    guess, truth = np.asarray(guess, bool), np.asarray(truth, bool)
    inside = np.ones(guess.shape, bool) if inside is None else np.asarray(inside, bool)
    if not guess.shape == truth.shape == inside.shape or guess.ndim != 2:
        shapes = [list(one.shape) for one in (guess, truth, inside)]
        raise ValueError(f"guess, truth and inside must share one shape [H, W], found {shapes}")
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 pixels or more, found {tolerance}")
    near_truth, near_guess = (_near(one, tolerance) for one in (truth, guess))
    guess, truth = guess & inside, truth & inside
    return BoundaryCounts(
        int(guess.sum()), int((guess & near_truth).sum()), int(truth.sum()), int((truth & near_guess).sum())
    )


def ridges(probability: np.ndarray, above: float) -> np.ndarray:
    """The crests of a map of outlines: pixels above a level and not below the two beside them, in their row or in their
    column, along whichever the three differ more; in both where they differ alike.

    A threshold alone draws lines as thick as they were learnt, and every pixel beside a thick line is one more guess:
    boundaries are compared thinned (Martin, Fowlkes and Malik 2004). Source: non-maximum suppression, Canny, A
    Computational Approach to Edge Detection, PAMI 8, 1986, along the two axes. A flat crest stays as thick as it is.

    Args:
      probability: `[H, W]` of an outline, without NaN.
      above: the level.

    Returns:
      `[H, W]` bool.

    >>> ridges(np.array([[0.1, 0.6, 0.9, 0.7, 0.2]] * 3), 0.5)[1].astype(int).tolist()
    [0, 0, 1, 0, 0]
    """
    from scipy import ndimage  # half a second that `import cnnlab` need not take

    probability = np.asarray(probability)
    row, column = (ndimage.maximum_filter1d(probability, 3, axis, mode="nearest") for axis in (1, 0))
    in_row, in_column = (
        high - ndimage.minimum_filter1d(probability, 3, axis, mode="nearest") for high, axis in ((row, 1), (column, 0))
    )
    highest = np.select([in_row > in_column, in_row < in_column], [row, column], np.maximum(row, column))
    return (probability == highest) & (probability > above)


def outlines(mask: np.ndarray) -> np.ndarray:
    """Returns the pixels `[H, W]` of a mask with one of four neighbours of another class; none beside ignored pixels.

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
    """Returns the pixels within a distance of a line; none if there is no line."""
    if not lines.any():
        return np.zeros(lines.shape, bool)
    from scipy import ndimage  # half a second that `import cnnlab` need not take

    return ndimage.distance_transform_edt(~lines) <= tolerance + 1e-9
