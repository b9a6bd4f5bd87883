"""The parts of a Brier score."""

from typing import NamedTuple

import numpy as np

from cnnlab.metrics.calibration.binning import Binning, numbered, of_each_class, sums


class BrierParts(NamedTuple):
    """The parts of a Brier score: `brier = reliability - resolution + uncertainty + within`.

    Attributes:
      brier: Brier score.
      reliability: squared distance of the predicted probabilities from the frequencies; 0 is best.
      resolution: squared distance of the frequencies from the base rates; larger is better.
      uncertainty: variance of the labels, which depends only on the data.
      within: remainder from different probabilities in the same bin.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(probs: np.ndarray, labels: np.ndarray, bins: int = 15, *, binning: Binning = "width") -> BrierParts:
    """Splits the Brier score into its parts, with bins of each class's probability, summed over the classes.

    If all probabilities in a bin are equal, this is Murphy's decomposition and `within` is 0. Otherwise `within` is the
    variance of the probabilities inside the bins minus twice their covariance with the outcomes.

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
