"""Whether a confidence of 90 % is right nine times in ten, and how much of the gap is only noise."""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """One entry a bin `(low, high]` of confidence; empty bins hold NaN means and count 0."""

    edges: np.ndarray  # [bins + 1]
    confidence: np.ndarray  # [bins], mean confidence
    accuracy: np.ndarray  # [bins], share that was right
    count: np.ndarray  # [bins]


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Reliability:
    """Confidence and accuracy in bins of equal width.

    Args:
      confidence: `[n]`, the probability of the predicted class.
      correct: `[n]`, whether it was right.
      bins: over (0, 1].
    """
    index = _bins(confidence, bins)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, np.asarray(confidence, np.float64), bins) / count
        share = np.bincount(index, np.asarray(correct, np.float64), bins) / count
    return Reliability(np.linspace(0, 1, bins + 1), mean, share, count)


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """`sum_b n_b / n |accuracy_b - confidence_b|` over bins of equal width (Guo et al. 2017, equation 3).

    >>> round(expected_calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 6)
    0.1
    """
    confidence = np.asarray(confidence, np.float64)
    return float(_gap(_bins(confidence, bins), confidence, np.asarray(correct, np.float64)[None], bins)[0])


def ece_floor(confidence: np.ndarray, bins: int = 15, *, draws: int = 200, seed: int = 0) -> float:
    """The ECE that a perfectly calibrated model with these very confidences would score, on average.

    Any finite sample shows a gap: answers are drawn to be right with exactly the stated confidence, and their ECE
    is averaged. An ECE near this floor is indistinguishable from perfect calibration.

    Args:
      confidence: `[n]`.
      bins: as in `expected_calibration_error`.
      draws: simulated test sets.
      seed: of the simulation.
    """
    confidence = np.asarray(confidence, np.float64)
    generator = np.random.default_rng(seed)
    index = _bins(confidence, bins)
    # A few rows at a time: 10,000 examples by 200 draws at once would hold 16 MB, a million 1.6 GB.
    rows = max(1, min(draws, 2_000_000 // len(confidence)))
    gaps = []
    for start in range(0, draws, rows):
        uniform = generator.random((min(rows, draws - start), len(confidence)))
        gaps.append(_gap(index, confidence, uniform < confidence, bins))
    return float(np.concatenate(gaps).mean())


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin `(b / bins, (b + 1) / bins]` of each confidence; 0 falls in the first, 1.0 in the last."""
    edges = np.linspace(0, 1, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def _gap(index: np.ndarray, confidence: np.ndarray, correct: np.ndarray, bins: int) -> np.ndarray:
    """ECE of each row of `correct` `[draws, n]`."""
    excess = correct - confidence
    offset = np.arange(len(correct))[:, None] * bins
    total = np.bincount((index + offset).ravel(), excess.ravel(), len(correct) * bins)
    return np.abs(total.reshape(len(correct), bins)).sum(1) / len(confidence)
