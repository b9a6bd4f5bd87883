"""Checks of the examples that calibrations are fitted on and applied to."""

import numpy as np

from cnnlab.metrics.checks import check_examples, check_labels, check_probs

_TINY = float(np.finfo(np.float32).tiny)
SMALLEST = 100  # examples: a temperature is then known to 12 to 17 %, simulated at an accuracy of 66 to 86 %


class Faultless(ValueError):
    """The error for a validation split without a wrong prediction, on which nothing can be fitted."""


def validation_examples(
    method: str, probs: np.ndarray, labels: np.ndarray, *, smallest: int, every_class: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probabilities `[n, k]` and labels `[n]` for fitting a map, checked.

    Args:
      method: for messages.
      probs: `[n, k]`.
      labels: `[n]`.
      smallest: number of examples that makes sense.
      every_class: whether each class must occur among the labels.

    Raises:
      ValueError: they are no probabilities and labels, or too few.
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
    """Returns probabilities `[..., k]`; raises `ValueError` if they have another number of classes."""
    probs = check_probs(probs)
    if probs.shape[-1] != k:
        raise ValueError(f"the calibration was fitted on {k} classes, found {probs.shape[-1]}")
    return probs


def check_parameters(**parameters: tuple[float, ...]) -> None:
    """Raises a `ValueError` unless both parameters have as many entries, all finite."""
    (first, a), (second, b) = parameters.items()
    if not a or len(a) != len(b):
        raise ValueError(f"{first} and {second} must be of one length, found {len(a)} and {len(b)}")
    if not np.isfinite([a, b]).all():
        raise ValueError(f"{first} and {second} must be finite, found {a} and {b}")


def log_probs(probs: np.ndarray) -> np.ndarray:
    """Computes logarithms; a probability of 0 counts as float32's smallest (-87 nats), as in the likelihood."""
    return np.log(np.maximum(probs, _TINY))
