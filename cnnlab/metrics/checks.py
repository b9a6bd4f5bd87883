"""Checks of the inputs of metrics; the error messages name the wrong entry and its value."""

import numpy as np

TOLERANCE = 1e-3  # float32 rounding of a softmax over thousands of classes stays below it
"""Largest deviation from 1 that the sum of a row of probabilities may have."""


def check_probs(probs: np.ndarray) -> np.ndarray:
    """Checks probabilities `[..., k]` and returns them in double precision.

    Raises:
      ValueError: there are no rows, fewer than two classes, an entry outside of 0..1, or a row that does not sum to 1;
        the message names the row with the largest deviation.

    >>> check_probs(np.array([[0.5, 0.5], [0.9, 0.2]]))
    Traceback (most recent call last):
    ValueError: probs must sum to 1 in each row, found 1.1 in probs[1]; give probabilities, not logits
    """
    probs = np.asarray(probs, np.float64)
    if not probs.ndim or probs.shape[-1] < 2:
        raise ValueError(f"probs must be [..., classes] with 2 classes or more, found the shape {probs.shape}")
    if not probs.size:
        raise ValueError(f"probs must hold one example or more, found the shape {probs.shape}")
    check_unit("probs", probs)
    total = probs.sum(-1)
    worst = np.unravel_index(np.abs(total - 1).argmax(), total.shape)
    if abs(total[worst] - 1) > TOLERANCE:
        raise ValueError(
            f"probs must sum to 1 in each row, found {total[worst]:.6g} in {_place('probs', worst)}; "
            "give probabilities, not logits"
        )
    return probs


def check_examples(probs: np.ndarray) -> np.ndarray:
    """Checks probabilities `[n, k]` as `check_probs` does, and returns them in double precision."""
    probs = check_probs(probs)
    if probs.ndim != 2:
        raise ValueError(f"probs must be [examples, classes], found the shape {probs.shape}")
    return probs


def check_labels(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Checks labels against probabilities, and returns them as integers.

    Args:
      labels: class of each example, with the shape of `probs` without its last axis.
      probs: `[..., k]` probabilities.

    Raises:
      ValueError: the shape or a label does not fit the probabilities.
    """
    labels, k = np.asarray(labels), probs.shape[-1]
    if labels.shape != probs.shape[:-1]:
        raise ValueError(f"labels must have one entry per example, {probs.shape[:-1]}, found the shape {labels.shape}")
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels must be whole numbers, found {labels.dtype}")
    outside = np.argwhere((labels < 0) | (labels >= k))
    if len(outside):
        place = tuple(outside[0])
        raise ValueError(
            f"labels must lie in 0..{k - 1}, found {_place('labels', place)} = {labels[place]}; "
            "leave out examples without a label"
        )
    return labels.astype(np.int64)


def check_scored(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checks confidences and correctness, and returns both in double precision.

    Args:
      confidence: `[n]` confidences of predictions.
      correct: `[n]`, 1 for a correct prediction and 0 for a wrong one.

    Raises:
      ValueError: the arrays are empty, have different lengths, or contain a NaN; or an entry of `correct` is neither 0
        nor 1.
    """
    confidence, correct = check_numbers("confidence", confidence), check_numbers("correct", correct)
    if confidence.shape != correct.shape:
        raise ValueError(f"confidence and correct must have one length, found {len(confidence)} and {len(correct)}")
    wrong = np.flatnonzero((correct != 0) & (correct != 1))
    if len(wrong):
        raise ValueError(f"correct must be 0 or 1, found {_place('correct', wrong[:1])} = {correct[wrong[0]]:g}")
    return confidence, correct


def check_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Checks that `values` is a list `[n]` of one number or more without NaN, and returns it in double precision."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be a list of one number or more, found the shape {values.shape}")
    nan = np.flatnonzero(np.isnan(values))
    if len(nan):
        raise ValueError(f"{name} must be numbers, found {_place(name, nan[:1])} = nan")
    return values


def check_alike(**arrays: np.ndarray) -> list[np.ndarray]:
    """Checks that arrays share a shape with one number or more, and returns them in double precision.

    The array `targets`, if there is one, must be finite.

    >>> check_alike(values=np.zeros((3, 1)), targets=np.zeros(3))
    Traceback (most recent call last):
    ValueError: values and targets must have one shape, found (3, 1) and (3,)
    """
    checked = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    (first, array), *others = checked.items()
    for name, other in others:
        if other.shape != array.shape:
            raise ValueError(f"{first} and {name} must have one shape, found {array.shape} and {other.shape}")
    if not array.size:
        raise ValueError(f"{first} must hold one number or more, found the shape {array.shape}")
    bad = np.argwhere(~np.isfinite(checked.get("targets", 0.0)))
    if len(bad):
        place = tuple(bad[0])
        raise ValueError(f"targets must be finite, found {_place('targets', place)} = {checked['targets'][place]}")
    return list(checked.values())


def check_unit(name: str, values: np.ndarray) -> np.ndarray:
    """Checks that numbers lie in 0..1, and returns them in double precision; rounding may exceed it by `TOLERANCE`."""
    values = np.asarray(values, np.float64)
    outside = np.argwhere(~((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)))  # NaN too
    if len(outside):
        place = tuple(outside[0])
        raise ValueError(f"{name} must lie in 0..1, found {_place(name, place)} = {values[place]:.6g}")
    return values


def _place(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"
