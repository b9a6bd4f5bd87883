"""Sorts predicted probabilities and outcomes into bins.

The arrays have one column for the predicted class alone, or one column per class.
"""

from typing import Literal, NamedTuple

import numpy as np

from cnnlab.metrics.checks import check_examples, check_labels, check_scored, check_unit

Binning = Literal["width", "mass"]


class Binned(NamedTuple):
    """Binned probabilities and outcomes of n examples; every array is `[n, columns]`.

    Attributes:
      index: number of the bin.
      stated: predicted probability.
      happened: 1 if the outcome occurred, otherwise 0.
    """

    index: np.ndarray
    stated: np.ndarray
    happened: np.ndarray


def of_the_guess(confidence: np.ndarray, correct: np.ndarray, bins: int, binning: Binning) -> Binned:
    """Returns one column: the confidence of each prediction, and whether it is correct."""
    confidence, correct = check_scored(check_unit("confidence", confidence), correct)
    return Binned(assign(confidence, bins, binning)[:, None], confidence[:, None], correct[:, None])


def of_each_class(probs: np.ndarray, labels: np.ndarray, bins: int, binning: Binning) -> Binned:
    """Returns one column per class: its probability, and whether it is the label."""
    probs = check_examples(probs)
    labels = check_labels(labels, probs)
    index = np.stack([assign(column, bins, binning) for column in probs.T], -1)
    return Binned(index, probs, (labels[:, None] == np.arange(probs.shape[1])).astype(np.float64))


def assign(stated: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    """Returns the bin of each probability.

    Args:
      stated: `[n]` probabilities.
      bins: number of bins over 0..1.
      binning: `width` for bins `(b / bins, (b + 1) / bins]` of equal width, the first of which includes 0; `mass` for
        bins with equally many examples. In bins of equal mass, equal probabilities share the bin of their middle
        example. So the order of examples does not matter, exact zeros or ones can fill a bin of their own, and some
        bins may stay empty.

    >>> assign(np.array([0.0, 0.5, 0.6, 1.0]), 2, "width"), assign(np.array([0.7, 0.9, 1.0, 1.0, 1.0]), 2, "mass")
    (array([0, 0, 1, 1]), array([0, 0, 1, 1, 1]))
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, found {bins}")
    if binning == "width":
        return np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), stated, side="left") - 1, 0, bins - 1)
    if binning == "mass":
        n = len(stated)
        ends = np.cumsum([n // bins + (b < n % bins) for b in range(bins)])  # the first bins take the remainder
        _, equal, count = np.unique(stated, return_inverse=True, return_counts=True)
        middle = count.cumsum() - (count + 1) // 2  # rank of the middle example
        return np.searchsorted(ends, middle, side="right")[equal]
    raise ValueError(f"binning must be width or mass, found {binning!r}")


def sums(index: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Counts the examples in each bin of each column, and sums `values` over them.

    Args:
      index: `[n, columns]` numbers of the bins.
      values: arrays `[n, columns]`.

    Returns:
      The counts and one array of sums for each of `values`, all of shape `[columns * bins]`.
    """
    flat = numbered(index)
    size = int(flat.max()) + 1
    return (np.bincount(flat, minlength=size), *(np.bincount(flat, value.ravel(), size) for value in values))


def numbered(index: np.ndarray) -> np.ndarray:
    """Numbers the bins `[n, columns]` consecutively over all columns; returns a flat array."""
    return (index + np.arange(index.shape[1]) * (index.max() + 1)).ravel()
