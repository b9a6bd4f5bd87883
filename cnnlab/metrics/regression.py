"""Metrics of regression: errors of predicted numbers, and scores of their predicted variance."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from cnnlab.metrics.checks import check_alike


def _rmse(values: np.ndarray, targets: np.ndarray) -> float:
    return np.sqrt(((values - targets) ** 2).mean(0)).mean()


def _mae(values: np.ndarray, targets: np.ndarray) -> float:
    return np.abs(values - targets).mean()


def _r2(values: np.ndarray, targets: np.ndarray) -> float:
    residual, total = ((values - targets) ** 2).mean(0), targets.var(0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), 0.0).mean()


class Metric(NamedTuple):
    """A metric of predictions `[n, d]` and targets `[n, d]`, and whether a larger value is better."""

    measure: Callable[[np.ndarray, np.ndarray], float]
    larger_is_better: bool = False


METRICS: dict[str, Metric] = {
    "rmse": Metric(_rmse),
    "mae": Metric(_mae),
    "r2": Metric(_r2, larger_is_better=True),
}
"""Metrics that `errors` computes, by name."""


def errors(values: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Computes `rmse` and `mae` in the unit of the targets, and `r2`, each averaged over targets.

    `r2` is `1 - residual / total sum of squares`; it is 0 for a target that does not vary.

    Args:
      values: `[n, d]` predictions.
      targets: `[n, d]` true values.

    Raises:
      ValueError: there are no examples, the shapes differ, or a target is NaN or infinite.

    >>> errors(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))["mae"]
    1.0
    """
    values, targets = check_alike(values=values, targets=targets)
    return {name: float(metric.measure(values, targets)) for name, metric in METRICS.items()}


def central_interval(
    values: np.ndarray, variances: np.ndarray, *, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the lower and upper end of a normal distribution's central interval with probability `level`.

    >>> low, high = central_interval(np.array([2.0]), np.array([4.0]))
    >>> low.round(2).item(), high.round(2).item()
    (-1.92, 5.92)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in 0..1, found {level}")
    half = scipy.special.ndtri((1 + level) / 2) * np.sqrt(np.asarray(variances, np.float64))
    return values - half, values + half


def gaussian_scores(
    values: np.ndarray, variances: np.ndarray, targets: np.ndarray, *, level: float = 0.95
) -> dict[str, float]:
    """Scores predicted normal distributions: `nll`, `crps`, `coverage` and `sharpness`, each averaged over targets.

    `nll` is the negative log-likelihood in nats. `crps` is the continuous ranked probability score of a normal
    distribution (Gneiting and Raftery, JASA 2007, equation 21), in the unit of the targets; at variance 0 it is the
    absolute error. `coverage` is the share of targets within the central interval of probability `level`; a calibrated
    model has a coverage of `level`. `sharpness` is the mean width of that interval, in the unit of the targets.

    Args:
      values: `[n, d]` predictive means.
      variances: `[n, d]` predictive variances, 0 or more; `nll` raises smaller ones to 1e-12.
      targets: `[n, d]` true values.
      level: probability of the central interval, between 0 and 1.

    Raises:
      ValueError: as in `errors`, or a variance is negative.

    >>> scores = gaussian_scores(np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    >>> {name: round(score, 4) for name, score in scores.items()}
    {'nll': 1.4189, 'crps': 0.6024, 'coverage': 1.0, 'sharpness': 3.9199}
    """
    values, variances, targets = check_alike(values=values, variances=variances, targets=targets)
    if (variances < 0).any():
        raise ValueError(f"variances must be 0 or more, found {np.nanmin(variances):.6g}")
    low, high = central_interval(values, variances, level=level)
    deviation = np.sqrt(variances)
    error = targets - values
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0, error / deviation, 0)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    crps = np.where(
        deviation > 0,
        deviation * (z * (2 * scipy.special.ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)),
        np.abs(error),
    )
    floored = np.maximum(variances, 1e-12)
    return {
        "nll": float(((np.log(2 * np.pi * floored) + error**2 / floored) / 2).mean()),
        "crps": float(crps.mean()),
        "coverage": float(((low <= targets) & (targets <= high)).mean()),
        "sharpness": float((high - low).mean()),
    }
