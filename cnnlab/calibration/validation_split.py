"""Checks of the examples that calibrations are fitted on and applied to."""

import numpy as np

from cnnlab.metrics.checks import check_examples, check_labels, check_probs

_TINY = float(np.finfo(np.float32).tiny)
SMALLEST = 100  # examples; with fewer, even a single temperature is too uncertain


class Faultless(ValueError):
    """The error for a validation split without a wrong prediction, on which no finite map can be fitted."""


def validation_examples(
    method: str, probs: np.ndarray, labels: np.ndarray, *, smallest: int, every_class: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Checks the probabilities `[n, k]` and labels `[n]` for fitting a map, and returns them.

    Args:
      method: name of the method for messages.
      probs: probabilities `[n, k]`.
      labels: true classes `[n]`.
      smallest: smallest number of examples for the fit.
      every_class: whether each class must occur among the labels.

    Raises:
      ValueError: `probs` or `labels` are invalid, or there are too few examples.
    """
    probs = check_examples(probs)
    labels = check_labels(labels, probs)
    if len(labels) < smallest:
        raise ValueError(f"{method} needs a validation split of {smallest} examples or more, found {len(labels)}")
    absent = np.flatnonzero(np.bincount(labels, minlength=probs.shape[1]) == 0)
    if every_class and len(absent):
        raise ValueError(f"{method} needs every class in the validation split, found no example of class {absent[0]}")
    return probs, labels


def check_classes(probs: np.ndarray, k: int) -> np.ndarray:
    """Checks and returns probabilities `[..., k]`; raises `ValueError` if the number of classes is not k."""
    probs = check_probs(probs)
    if probs.shape[-1] != k:
        raise ValueError(f"the calibration was fitted on {k} classes, found {probs.shape[-1]}")
    return probs


def check_parameters(**parameters: tuple[float, ...]) -> None:
    """Raises `ValueError` unless the two parameters have the same length, at least 1, and finite entries."""
    (first, a), (second, b) = parameters.items()
    if not a or len(a) != len(b):
        raise ValueError(f"{first} and {second} must have the same length, at least 1, found {len(a)} and {len(b)}")
    if not np.isfinite([a, b]).all():
        raise ValueError(f"{first} and {second} must be finite, found {a} and {b}")


def log_probs(probs: np.ndarray) -> np.ndarray:
    """Computes log-probabilities, in which 0 counts as the smallest positive float32 (-87 nats)."""
    return np.log(np.maximum(probs, _TINY))
