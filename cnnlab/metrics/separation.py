"""Metrics of how well a score separates out-of-distribution examples from in-distribution examples.

The score should be larger for out-of-distribution examples, such as 1 minus the largest probability, an entropy, or a
mutual information. Examples with equal scores fall on the same side of every threshold.
"""

from typing import NamedTuple

import numpy as np

from cnnlab.metrics.checks import check_numbers


class Separation(NamedTuple):
    """Metrics of a separation, in 0..1.

    Attributes:
      auroc: probability that an out-of-distribution example has a larger score than an in-distribution example; a tie
        counts half.
      aupr_out: average precision with out-of-distribution examples as positives.
      aupr_in: average precision with in-distribution examples as positives, and the scores negated.
      fpr95: share of in-distribution examples at or above the threshold that 95 % of out-of-distribution ones reach.
    """

    auroc: float
    aupr_out: float
    aupr_in: float
    fpr95: float


def separation(inside: np.ndarray, outside: np.ndarray) -> Separation:
    """Computes `auroc`, `aupr_out`, `aupr_in` and `fpr95` of scores that should be larger out of distribution.

    Source: Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks, ICLR 2017.

    Args:
      inside: `[n]` scores of in-distribution examples.
      outside: `[m]` scores of out-of-distribution examples.

    Raises:
      ValueError: an array is empty or contains a NaN.

    >>> separation(np.array([0.1, 0.2, 0.4]), np.array([0.3, 0.4]))
    Separation(auroc=0.75, aupr_out=0.5833333333333333, aupr_in=0.8666666666666667, fpr95=0.3333333333333333)
    """
    rejected = _rejected(inside, outside)
    return Separation(
        float(np.trapezoid(rejected.outside, rejected.inside)),
        average_precision(outside, inside),
        average_precision(-np.asarray(inside), -np.asarray(outside)),
        false_positive_rate(inside, outside),
    )


def average_precision(positives: np.ndarray, others: np.ndarray) -> float:
    """Computes `sum_i (recall_i - recall_(i - 1)) precision_i` over all thresholds, for scores larger for positives.

    The sum is over steps, as in scikit-learn and torchmetrics, because trapezoids would promise a precision that no
    threshold reaches (Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006).

    Args:
      positives: `[m]` scores of positive examples.
      others: `[n]` scores of negative examples.
    """
    rejected = _rejected(others, positives)
    true_positives, wrong = rejected.outside[1:] * len(positives), rejected.inside[1:] * len(others)
    return float((np.diff(rejected.outside) * true_positives / (true_positives + wrong)).sum())


def false_positive_rate(inside: np.ndarray, outside: np.ndarray, *, recall: float = 0.95) -> float:
    """Computes the share of in-distribution scores at or above the highest threshold with this recall.

    Out-of-distribution examples are the positives, as in torch-uncertainty and OpenOOD. Liang et al. 2018 (ODIN) take
    in-distribution examples as positives: their number is `false_positive_rate(-outside, -inside)`.

    Args:
      inside: `[n]` scores of in-distribution examples.
      outside: `[m]` scores of out-of-distribution examples.
      recall: share of out-of-distribution examples at or above the threshold, in 0 < recall <= 1.

    >>> false_positive_rate(np.array([0.1, 0.5, 0.7, 0.8]), np.array([0.6, 0.9]), recall=0.5)
    0.0
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall must lie in 0 < recall <= 1, found {recall}")
    rejected = _rejected(inside, outside)
    return float(rejected.inside[np.searchsorted(rejected.outside, recall - 1e-12)])


class _Rejected(NamedTuple):
    """Shares of examples at or above each threshold; the thresholds fall, so the shares rise from 0 to 1."""

    inside: np.ndarray
    outside: np.ndarray


def _rejected(inside: np.ndarray, outside: np.ndarray) -> _Rejected:
    inside, outside = check_numbers("inside", inside), check_numbers("outside", outside)
    _, place = np.unique(-np.r_[inside, outside], return_inverse=True)
    shares = []
    for places in (place[: len(inside)], place[len(inside) :]):
        count = np.bincount(places, minlength=place.max() + 1)
        shares.append(np.r_[0, count.cumsum()] / len(places))
    return _Rejected(*shares)
