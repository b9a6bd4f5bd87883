"""Labels that are likely wrong, by probabilities from networks that have not seen them: confident learning."""

from typing import NamedTuple

import numpy as np


class ConfidentErrors(NamedTuple):
    """What the probabilities say of the given labels.

    Attributes:
      index: `[m]` examples whose label is likely wrong, the one of the least probable label first.
      suggested: `[m]` the most probable class of each.
      joint: `[k, k]` the confident joint: number of examples by given label and confident class.
      threshold: `[k]` probability from which a class counts as confident; NaN for a class without examples.
    """

    index: np.ndarray
    suggested: np.ndarray
    joint: np.ndarray
    threshold: np.ndarray


def confident_errors(probs: np.ndarray, label: np.ndarray) -> ConfidentErrors:
    """Finds examples whose label is likely wrong: as many as the classes' confusions suggest, the least probable ones.

    The threshold of a class is the mean of its probability over the examples with its label, so a class of which the
    network is rarely sure has a low one. An example confidently belongs to the class with the largest probability among
    those that reach their threshold. How many examples of a label confidently belong to another class estimates how
    many of its labels are wrong. As many examples of it are found, those with the lowest probability of that label, if
    another class is more probable. Labels of -1 are left out.

    Source: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021:
    the confident joint of section 3.1, without its calibration, and pruning by class of section 3.2.

    Args:
      probs: `[n, k]` class probabilities from networks that did not learn from the label of the example.
      label: `[n]` given labels, -1 = unknown.

    Raises:
      ValueError: shapes or labels do not fit, or fewer than two classes have labels.

    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> found = confident_errors(probs, np.array([0, 0, 1, 1, 1]))  # thresholds .85 and .583
    >>> found.index.tolist(), found.suggested.tolist(), found.joint.tolist()
    ([4], [0], [[1, 0], [1, 2]])
    """
    probs, label = np.asarray(probs, np.float64), np.asarray(label)
    if probs.ndim != 2 or label.shape != probs.shape[:1]:
        raise ValueError(f"probs must be [n, k] and label [n], found {list(probs.shape)} and {list(label.shape)}")
    k = probs.shape[1]
    if len(label) and (label.min() < -1 or label.max() >= k):
        raise ValueError(f"labels must lie in -1..{k - 1}, found {label.min()}..{label.max()}")
    known = np.flatnonzero(label >= 0)
    classes, counts = np.unique(label[known], return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"labels of {'one class' if len(classes) else 'no class'} cannot be told apart; give labelled examples of "
            "two or more classes"
        )
    threshold = np.full(k, np.nan)
    threshold[classes] = np.bincount(label[known], probs[known, label[known]], minlength=k)[classes] / counts
    reached = np.where(probs[known] >= threshold, probs[known], -1)  # comparisons with NaN are false
    guess, sure = reached.argmax(1), reached.max(1) >= 0
    joint = np.zeros((k, k), int)
    np.add.at(joint, (label[known][sure], guess[sure]), 1)
    of_given = probs[np.arange(len(label)), label]
    found = [
        np.flatnonzero(label == k)[np.argsort(of_given[label == k], kind="stable")[:number]]
        for k, number in zip(classes, (joint.sum(1) - np.diag(joint))[classes], strict=True)
    ]
    index = np.concatenate(found)
    index = index[probs[index].argmax(1) != label[index]]
    index = index[np.lexsort((index, of_given[index]))]
    return ConfidentErrors(index, probs[index].argmax(1), joint, threshold)
