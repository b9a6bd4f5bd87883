"""The parts of a Brier score."""

from typing import NamedTuple

import numpy as np

from cnnlab.metrics.calibration.binning import Binning, numbered, of_each_class, sums


class BrierParts(NamedTuple):
    """The parts of a Brier score: `brier = reliability - resolution + uncertainty + within`."""

    brier: float
    reliability: float  # how far the stated probabilities are from the frequencies; 0 is best
    resolution: float  # how far the frequencies are from the base rates; large is good
    uncertainty: float  # of labels drawn from the base rates; the data's, whatever the model
    within: float  # what is lost by putting different probabilities into one bin


def brier_parts(probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, binning: Binning = "width") -> BrierParts:
    """Splits the Brier score into its parts, class by class in bins of the probability, summed over the classes.

    With one probability a bin this is Murphy's decomposition and `within` is 0; otherwise that is the variance of the
    probabilities inside a bin less twice their covariance with what happened.

    Source: Murphy, A New Vector Partition of the Probability Score, J. Appl. Meteorol. 12, 1973; Stephenson, Coelho
    and Jolliffe, Two Extra Components in the Brier Score Decomposition, Weather and Forecasting 23, 2008.

    Args: as in `classwise_calibration_error`.

    >>> brier_parts(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    BrierParts(brier=0.375, reliability=0.0, resolution=0.0, uncertainty=0.375, within=0.0)
    """
    index, stated, happened = of_each_class(probs, labels, bins, binning)
    count, *totals = sums(index, stated, happened)
    mean, share = (total / np.maximum(count, 1) for total in totals)
    flat, base = numbered(index), happened.mean(0)
    gap = float(((mean - share)[flat] ** 2).sum() / len(stated))
    spread = float(((share[flat].reshape(stated.shape) - base) ** 2).sum() / len(stated))
    uncertainty = float((base * (1 - base)).sum())
    total = float(((stated - happened) ** 2).sum() / len(stated))
    return BrierParts(total, gap, spread, uncertainty, total - (gap - spread + uncertainty))
