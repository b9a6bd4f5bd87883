"""Calibration errors, their intervals, and the noise floor of a perfectly calibrated model."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnlab.metrics.bootstrap import bootstrap_interval, check_draws
from cnnlab.metrics.calibration.binning import Binned, Binning, assign, of_each_class, of_the_guess, sums
from cnnlab.metrics.checks import check_examples, check_labels, check_numbers, check_unit


class Reliability(NamedTuple):
    """Confidence and accuracy per bin `(low, high]` of confidence; empty bins have NaN means and count 0."""

    edges: np.ndarray  # [bins + 1]
    confidence: np.ndarray  # [bins], mean confidence
    accuracy: np.ndarray  # [bins], share that was right
    count: np.ndarray  # [bins]


class Estimate(NamedTuple):
    """A calibration error with its interval and its noise floor."""

    value: float
    low: float  # interval of the error that infinitely many examples would show, never below 0;
    high: float  # it may lie below the value, which noise raises
    floor: float  # what a perfectly calibrated model with these very probabilities would score, on average


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> Reliability:
    """Computes mean confidence and accuracy in bins of confidence.

    Args:
      confidence: `[n]`, the probability of the predicted class.
      correct: `[n]`, whether it was right.
      bins: over (0, 1].
      binning: of equal `width`, or of equal `mass` (as many examples in each, where equal confidences allow; fewer bins
        than asked for where they do not), see `binning.assign`.
    """
    index, stated, happened = (column.ravel() for column in of_the_guess(confidence, correct, bins, binning))
    edges = np.linspace(0, 1, bins + 1)
    if binning == "mass":
        used, index = np.unique(index, return_inverse=True)
        bins = len(used)
        edges = np.r_[0, [stated[index == b].max() for b in range(bins - 1)], 1]
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(index, values, bins) / count for values in (stated, happened))
    return Reliability(edges, mean, share, count)


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Computes `sum_b n_b / n |accuracy_b - confidence_b|` (Guo et al. 2017, equation 3).

    Of equal width by default, a bin holding its upper edge, as the paper has it; torchmetrics and netcal give it to the
    bin above. Of equal mass it is the adaptive error of Nguyen and O'Connor 2015, by rank as in torch-uncertainty;
    netcal cuts at interpolated quantiles, which is the same where the bins divide the examples evenly.

    Args: as in `reliability`.

    >>> round(expected_calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 6)
    0.1
    """
    return _mean_gap(*of_the_guess(confidence, correct, bins, binning))


def maximum_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Computes `max_b |accuracy_b - confidence_b|` over the bins with an example (Guo et al. 2017, equation 5).

    A bin of one example can decide it, so look at its floor in `calibration_errors`.

    Args: as in `reliability`.

    >>> round(maximum_calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 6)
    0.1
    """
    return _largest_gap(*of_the_guess(confidence, correct, bins, binning))


def classwise_calibration_error(
    probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Computes the expected calibration error of each class against all others, averaged over the classes.

    Source: Nixon et al., Measuring Calibration in Deep Learning, 2019 (there static calibration error); Kull et al.,
    Beyond temperature scaling, NeurIPS 2019.

    Args:
      probs: `[n, k]`.
      labels: `[n]`.
      bins: as in `reliability`, separate for each class.
      binning: as in `reliability`.

    >>> probs = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
    >>> round(classwise_calibration_error(probs, np.array([0, 1, 1])), 6)  # (2 |0.5 - 0.8| + |0 - 0.3|) / 3
    0.3
    """
    return _mean_gap(*of_each_class(probs, labels, bins, binning))


def ece_floor(
    confidence: np.ndarray, bins: int = 15, *, binning: Binning = "width", draws: int = 200, seed: int = 0
) -> float:
    """Simulates the mean ECE of a perfectly calibrated model with the same confidences.

    Any finite sample shows a gap: answers are drawn to be right with exactly the stated confidence, and their ECE
    is averaged. An ECE near this floor is indistinguishable from perfect calibration.

    Args:
      confidence: `[n]`.
      bins: as in `expected_calibration_error`.
      binning: as in `expected_calibration_error`.
      draws: simulated test sets.
      seed: seed of the simulation.
    """
    confidence = check_unit("confidence", check_numbers("confidence", confidence))
    return float(_noise(_mean_gap, assign(confidence, bins, binning)[:, None], confidence[:, None], draws, seed).mean())


def ece_estimate(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Estimate:
    """Estimates the ECE over bins of equal width, its 95 % interval and its noise floor; see `calibration_errors`.

    Args:
      confidence: `[n]`, the probability of the predicted class.
      correct: `[n]`, whether it was right.
      bins: over (0, 1].
    """
    return _estimate(_mean_gap, of_the_guess(confidence, correct, bins, "width"), 0.95, 200, 0)


def calibration_errors(
    probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, level: float = 0.95, draws: int = 200, seed: int = 0
) -> dict[str, Estimate]:
    """Computes `ece`, `ece_mass`, `mce` and `classwise_ece`, each with its interval and its noise floor.

    The upper end is the basic bootstrap's. The lower end is the lower of the bootstrap's and of the value less what
    noise alone exceeds in 2.5 of 100 test sets of a calibrated model: all four are norms of what the bins are off by,
    to which noise adds at most its own norm. So an error that calibrated models show too has an interval from 0. The
    bins stay where these probabilities put them.

    In simulations, 100 test sets each of 200, 1,000 and 5,000 examples of ten classes, with logits that were right, 1.1
    or 1.5 times too large, the interval of 95 % held the true error in 90 to 100 of 100, of each of the four. The
    bootstrap's lower end alone is above it half of the time where the model is calibrated, of `classwise_ece` always.

    Args:
      probs: `[n, k]`.
      labels: `[n]`.
      bins: as in `reliability`.
      level: level of the intervals.
      draws: bootstrap samples and simulated test sets, so many of each.
      seed: seed of both.

    >>> got = calibration_errors(np.array([[0.9, 0.1]] * 10), np.array([0] * 9 + [1]))
    >>> abs(round(got["ece"].value, 6)), got["ece"].floor > 0
    (0.0, True)
    """
    probs = check_examples(probs)
    confidence, correct = probs.max(-1), probs.argmax(-1) == check_labels(labels, probs)
    guess = of_the_guess(confidence, correct, bins, "width")
    return {
        "ece": _estimate(_mean_gap, guess, level, draws, seed),
        "ece_mass": _estimate(_mean_gap, of_the_guess(confidence, correct, bins, "mass"), level, draws, seed),
        "mce": _estimate(_largest_gap, guess, level, draws, seed),
        "classwise_ece": _estimate(_mean_gap, of_each_class(probs, labels, bins, "width"), level, draws, seed),
    }


def _estimate(gap: Callable[..., float], binned: Binned, level: float, draws: int, seed: int) -> Estimate:
    value, noise = gap(*binned), _noise(gap, binned.index, binned.stated, draws, seed)
    low, high = bootstrap_interval(gap, *binned, level=level, draws=draws, seed=seed)
    low = min(low, value - float(np.quantile(noise, (1 + level) / 2)))
    low, high = np.clip([low, high], 0, 1)  # of probabilities, so no error is larger
    return Estimate(value, float(low), float(high), float(noise.mean()))


def _mean_gap(index: np.ndarray, stated: np.ndarray, happened: np.ndarray) -> float:
    _, excess = sums(index, happened - stated)
    return float(np.abs(excess).sum() / stated.size)


def _largest_gap(index: np.ndarray, stated: np.ndarray, happened: np.ndarray) -> float:
    count, excess = sums(index, happened - stated)
    return float((np.abs(excess) / np.maximum(count, 1)).max())


def _noise(gap: Callable[..., float], index: np.ndarray, stated: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Draws `[draws]` of a gap where everything happens as stated.

    Columns are drawn apart from each other: the mean of a sum over columns depends on each alone.
    """
    check_draws(draws)
    generator = np.random.default_rng(seed)
    return np.array([gap(index, stated, generator.random(stated.shape) < stated) for _ in range(draws)])
