"""Metrics of class probabilities: accuracy, likelihood, Brier score, and precision and recall of each class."""

import numpy as np

from cnnlab.metrics.checks import check_labels, check_probs

_TINY = float(np.finfo(np.float32).tiny)


def accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Computes the share of examples whose most probable class is the label; among equal classes the first counts."""
    probs = check_probs(probs)
    return float((probs.argmax(-1) == check_labels(labels, probs)).mean())


def balanced_accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Computes the accuracy of each class that occurs, averaged over the classes, so that rare classes count equally.

    >>> balanced_accuracy(np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), np.array([0, 0, 1]))
    0.5
    """
    probs = check_probs(probs)
    right = probs.argmax(-1) == check_labels(labels, probs)
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def negative_log_likelihood(probs: np.ndarray, labels: np.ndarray) -> float:
    """Computes the mean of `-log p(label)` in nats; 0 counts as the smallest normal float32 (87 nats).

    >>> round(negative_log_likelihood(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])), 6)
    0.490415
    """
    probs = check_probs(probs)
    chosen = np.take_along_axis(probs, check_labels(labels, probs)[..., None], -1)
    return float(-np.log(np.maximum(chosen, _TINY)).mean())


def brier(probs: np.ndarray, labels: np.ndarray) -> float:
    """Computes the mean of `sum_k (p_k - y_k)^2`, in 0..2 (Brier 1950).

    >>> round(brier(np.array([[0.8, 0.2]]), np.array([0])), 6)
    0.08
    """
    probs = check_probs(probs)
    onehot = np.eye(probs.shape[-1])[check_labels(labels, probs)]
    return float(((probs - onehot) ** 2).sum(-1).mean())


def class_scores(hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Computes `precision`, `recall` and `f1` of each class, `[k]`; NaN where a score is 0 / 0.

    Precision is the share of the examples predicted as a class that belong to it, recall the share of a class's
    examples that are predicted as it, and F1 their harmonic mean `2 hits / (predicted + true)`.

    Args:
      hits: number of correct predictions of each class.
      predicted: number of predictions of each class.
      true: number of examples of each class.

    >>> class_scores(np.array([3, 0]), np.array([4, 0]), np.array([3, 1]))["precision"].tolist()
    [0.75, nan]
    """
    hits, predicted, true = (np.asarray(part, np.float64) for part in (hits, predicted, true))
    with np.errstate(invalid="ignore"):
        return {"precision": hits / predicted, "recall": hits / true, "f1": 2 * hits / (predicted + true)}


def confusion(labels: np.ndarray, predicted: np.ndarray, k: int) -> np.ndarray:
    """Counts examples by true class (row) and predicted class (column), `[k, k]`; labels below 0 do not count."""
    known = labels >= 0
    return np.bincount(labels[known] * k + predicted[known], minlength=k * k).reshape(k, k)
