"""Calibration errors, their intervals, and the noise floor of a perfectly calibrated model."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnlab.metrics.bootstrap import bootstrap_interval, check_draws
from cnnlab.metrics.calibration.binning import Binned, Binning, assign, of_each_class, of_the_guess, sums
from cnnlab.metrics.checks import check_examples, check_labels, check_numbers, check_unit


class Reliability(NamedTuple):
    """Confidence and accuracy per bin `(low, high]` of confidence; empty bins have NaN means and count 0.

    Attributes:
      edges: `[bins + 1]` edges of the bins.
      confidence: `[bins]` mean confidences.
      accuracy: `[bins]` shares of correct predictions.
      count: `[bins]` numbers of examples.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


class Estimate(NamedTuple):
    """A calibration error with its interval and its noise floor.

    Attributes:
      value: calibration error of the examples.
      low: lower end of the interval for the error on infinitely many examples, 0 or more.
      high: upper end of that interval; it may lie below `value`, because noise raises `value`.
      floor: mean error of a perfectly calibrated model with the same probabilities.
    """

    value: float
    low: float
    high: float
    floor: float


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> Reliability:
    """Computes mean confidence and accuracy in bins of confidence.

    Args:
      confidence: `[n]` probabilities of the predicted classes.
      correct: `[n]`, whether each prediction is correct.
      bins: number of bins over (0, 1].
      binning: `width` for bins of equal width, `mass` for bins with equally many examples; see `binning.assign`. Equal
        confidences stay in one bin, so `mass` may result in fewer bins.
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

    By default the bins have equal width and include their upper edge, as in the paper; torchmetrics and netcal assign
    the edge to the bin above. With bins of equal mass, this is the adaptive error of Nguyen and O'Connor 2015. Those
    bins split the examples by rank, as in torch-uncertainty; netcal splits at interpolated quantiles, which is the same
    if the number of bins divides the number of examples.

    Args: as in `reliability`.

    >>> round(expected_calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 6)
    0.1
    """
    return _mean_gap(*of_the_guess(confidence, correct, bins, binning))


def maximum_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Computes `max_b |accuracy_b - confidence_b|` over the bins with an example (Guo et al. 2017, equation 5).

    A bin with a single example can determine the result, so compare it with its floor in `calibration_errors`.

    Args: as in `reliability`.

    >>> round(maximum_calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 6)
    0.1
    """
    return _largest_gap(*of_the_guess(confidence, correct, bins, binning))


def classwise_calibration_error(
    probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Computes the expected calibration error of each class against all others, averaged over the classes.

    Source: Nixon et al., Measuring Calibration in Deep Learning, 2019, where it is called static calibration error;
    Kull et al., Beyond temperature scaling, NeurIPS 2019.

    Args:
      probs: `[n, k]` probabilities.
      labels: `[n]` true classes.
      bins: as in `reliability`, separately for each class.
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

    The ECE of a finite sample is above 0 even for a perfectly calibrated model. The simulation draws predictions that
    are correct with exactly their confidence, and averages the ECE. An ECE near this floor is indistinguishable from
    perfect calibration.

    Args:
      confidence: `[n]` probabilities of the predicted classes.
      bins: as in `expected_calibration_error`.
      binning: as in `expected_calibration_error`.
      draws: number of simulated test sets.
      seed: seed of the simulation.
    """
    confidence = check_unit("confidence", check_numbers("confidence", confidence))
    return float(_noise(_mean_gap, assign(confidence, bins, binning)[:, None], confidence[:, None], draws, seed).mean())


def ece_estimate(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Estimate:
    """Estimates the ECE over bins of equal width, its 95 % interval and its noise floor; see `calibration_errors`.

    Args:
      confidence: `[n]` probabilities of the predicted classes.
      correct: `[n]`, whether each prediction is correct.
      bins: number of bins over (0, 1].
    """
    return _estimate(_mean_gap, of_the_guess(confidence, correct, bins, "width"), 0.95, 200, 0)


def calibration_errors(
    probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, level: float = 0.95, draws: int = 200, seed: int = 0
) -> dict[str, Estimate]:
    """Computes `ece`, `ece_mass`, `mce` and `classwise_ece`, each with its interval and its noise floor.

    The upper end of the interval is that of the basic bootstrap. The lower end is the smaller of two values: the
    bootstrap's, and the error minus the `(1 + level) / 2` quantile of a calibrated model's error. The second value is a
    bound because all four errors are norms of the gaps of the bins, and noise adds at most its own norm. So the
    interval begins at 0 if a calibrated model shows the same error by chance, where the bootstrap's lower end is often
    too high. All samples use the bins of the given probabilities.

    Args:
      probs: `[n, k]` probabilities.
      labels: `[n]` true classes.
      bins: as in `reliability`.
      level: nominal level of the intervals.
      draws: number of bootstrap samples, and number of simulated test sets.
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
    low, high = np.clip([low, high], 0, 1)  # a gap of probabilities lies in 0..1
    return Estimate(value, float(low), float(high), float(noise.mean()))


def _mean_gap(index: np.ndarray, stated: np.ndarray, happened: np.ndarray) -> float:
    _, excess = sums(index, happened - stated)
    return float(np.abs(excess).sum() / stated.size)


def _largest_gap(index: np.ndarray, stated: np.ndarray, happened: np.ndarray) -> float:
    count, excess = sums(index, happened - stated)
    return float((np.abs(excess) / np.maximum(count, 1)).max())


def _noise(gap: Callable[..., float], index: np.ndarray, stated: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Simulates `[draws]` gaps of outcomes that occur with their predicted probabilities.

    Columns are drawn independently, because the mean of a sum over columns does not depend on their correlation.
    """
    check_draws(draws)
    generator = np.random.default_rng(seed)
    return np.array([gap(index, stated, generator.random(stated.shape) < stated) for _ in range(draws)])
