"""Metrics of an order: in how many pairs the right one has the larger score."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np


class Pairwise(NamedTuple):
    """The share of pairs in the right order, with an interval.

    Attributes:
      accuracy: share of the pairs in which the photo above has the larger score; a tie counts one half.
      low: lower end of the interval.
      high: upper end of the interval.
    """

    accuracy: float
    low: float
    high: float


def outcomes(lead: np.ndarray) -> np.ndarray:
    """Returns 1 for each pair in the right order, one half for a tie, and 0 otherwise.

    Args:
      lead: `[n]`, score of the photo above minus that of the photo below.

    >>> outcomes(np.array([0.3, 0.0, -2.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return (np.sign(lead) + 1) / 2


def pairwise_accuracy(lead: np.ndarray, photos: np.ndarray, *, level: float = 0.95) -> Pairwise:
    """Computes the share of pairs in the right order, with an interval that knows which pairs share a photo.

    Pairs that share a photo are not independent: a wrong score of a photo makes all its pairs wrong. The variance is

        sum over pairs p, q that share a photo of (o_p - a) (o_q - a) / n²

    with the outcomes o and their mean a (Aronow, Samii and Assenova, Cluster-Robust Variance Estimation for Dyadic
    Data, Political Analysis 2015). As many independent pairs as have this variance enter the interval of Wilson
    (Probable Inference, the Law of Succession, and Statistical Inference, JASA 1927), which also holds near 0 and 1. If
    all pairs have one outcome, the variance is unknown, and half the number of photos enters: at most so many pairs
    share none.

    Args:
      lead: `[n]`, score of the photo above minus that of the photo below.
      photos: `[n, 2]`, numbers of the two photos of each pair.
      level: nominal share of samples whose interval contains the true share.

    Raises:
      ValueError: there is no pair, or a lead is NaN or infinite.

    >>> pairwise_accuracy(np.array([1.0, 2.0, -1.0, 1.0]), np.array([[0, 1], [2, 3], [4, 5], [6, 7]])).accuracy
    0.75
    """
    lead, photos = np.asarray(lead, np.float64), np.asarray(photos)
    if not len(lead) or photos.shape != (len(lead), 2):
        raise ValueError(f"lead must be [n] and photos [n, 2] for one pair or more, found {lead.shape}, {photos.shape}")
    if len(wrong := np.flatnonzero(~np.isfinite(lead))):
        raise ValueError(f"leads must be finite, found {lead[wrong[0]]} in lead[{wrong[0]}]")
    outcome = outcomes(lead)
    accuracy = float(outcome.mean())
    n = effective_pairs(outcome, photos)
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre, width = accuracy + z**2 / (2 * n), z * np.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    low, high = (centre - width) / (1 + z**2 / n), (centre + width) / (1 + z**2 / n)
    return Pairwise(accuracy, float(max(low, 0.0)), float(min(high, 1.0)))


def effective_pairs(outcome: np.ndarray, photos: np.ndarray) -> float:
    """Returns the number of independent pairs whose mean outcome varies as much; at most the number of pairs.

    Args:
      outcome: `[n]` in 0..1.
      photos: `[n, 2]`, numbers of the two photos of each pair.
    """
    _, place = np.unique(photos, return_inverse=True)
    first, second = place.reshape(photos.shape).T
    m = int(place.max()) + 1
    error = outcome - outcome.mean()
    of_photo = np.bincount(first, error, m) + np.bincount(second, error, m)
    _, same = np.unique(np.minimum(first, second) * m + np.maximum(first, second), return_inverse=True)
    of_pair = np.bincount(same, error)
    independent = (of_pair**2).sum()  # of pairs that share both photos
    variance = max((of_photo**2).sum() - independent, independent) / len(outcome) ** 2
    if variance == 0:
        return m / 2
    return min(float(len(outcome)), float(outcome.mean() * (1 - outcome.mean()) / variance))


def kendall_tau(accuracy: float) -> float:
    """Computes Kendall's tau of the compared pairs: the share in the right order minus that in the wrong one.

    It is 2 a - 1 for the accuracy a. If all pairs of n photos are compared and no scores are equal, it is Kendall's
    rank correlation (A New Measure of Rank Correlation, Biometrika 1938).

    >>> kendall_tau(0.75)
    0.5
    """
    return 2 * accuracy - 1
