"""Checks of the inputs of metrics; the errors name the wrong row and its value."""

import numpy as np

TOLERANCE = 1e-3  # float32 rounding of a softmax over thousands of classes stays below it
"""How far a row of probabilities may be from a sum of one."""


def check_probs(probs: np.ndarray) -> np.ndarray:
    """Returns probabilities `[..., k]` in double precision, checked.

    Raises:
      ValueError: there is no row, fewer than two classes, an entry outside of 0..1, or a row that does not sum to one
        (the worst one is named).

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
    """Returns probabilities `[n, k]` in double precision, checked as in `check_probs`."""
    probs = check_probs(probs)
    if probs.ndim != 2:
        raise ValueError(f"probs must be [examples, classes], found the shape {probs.shape}")
    return probs


def check_labels(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Labels of the shape of `probs` without its last axis, as integers.

    Raises:
      ValueError: the shape or a label does not fit the probabilities.
    """
    labels, k = np.asarray(labels), probs.shape[-1]
    if labels.shape != probs.shape[:-1]:
        raise ValueError(f"labels must be one an example, {probs.shape[:-1]}, found the shape {labels.shape}")
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels must be whole numbers, found {labels.dtype}")
    outside = np.argwhere((labels < 0) | (labels >= k))
    if len(outside):
        place = tuple(outside[0])
        raise ValueError(
            f"labels must lie in 0..{k - 1}, found {_place('labels', place)} = {labels[place]}; "
            "leave out what has no label"
        )
    return labels.astype(np.int64)


def check_scored(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidences `[n]` and whether each was right `[n]`, in double precision.

    Raises:
      ValueError: they are empty, of different lengths, or not numbers; or `correct` is neither 0 nor 1.
    """
    confidence, correct = check_numbers("confidence", confidence), check_numbers("correct", correct)
    if confidence.shape != correct.shape:
        raise ValueError(f"confidence and correct must be of one length, found {len(confidence)} and {len(correct)}")
    wrong = np.flatnonzero((correct != 0) & (correct != 1))
    if len(wrong):
        raise ValueError(f"correct must be 0 or 1, found {_place('correct', wrong[:1])} = {correct[wrong[0]]:g}")
    return confidence, correct


def check_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Returns a list `[n]` of one number or more in double precision, after checking that none is NaN."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be a list of one number or more, found the shape {values.shape}")
    nan = np.flatnonzero(np.isnan(values))
    if len(nan):
        raise ValueError(f"{name} must be numbers, found {_place(name, nan[:1])} = nan")
    return values


def check_alike(**arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays of one shape with one number or more, in double precision; `targets` all finite.

    >>> check_alike(values=np.zeros((3, 1)), targets=np.zeros(3))
    Traceback (most recent call last):
    ValueError: values and targets must be of one shape, found (3, 1) and (3,)
    """
    checked = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    (first, one), *others = checked.items()
    for name, other in others:
        if other.shape != one.shape:
            raise ValueError(f"{first} and {name} must be of one shape, found {one.shape} and {other.shape}")
    if not one.size:
        raise ValueError(f"{first} must hold one number or more, found the shape {one.shape}")
    bad = np.argwhere(~np.isfinite(checked.get("targets", 0.0)))
    if len(bad):
        place = tuple(bad[0])
        raise ValueError(f"targets must be finite, found {_place('targets', place)} = {checked['targets'][place]}")
    return list(checked.values())


def check_unit(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers in 0..1, in double precision; rounding may take them past either end by `TOLERANCE`."""
    values = np.asarray(values, np.float64)
    outside = np.argwhere(~((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)))  # NaN too
    if len(outside):
        place = tuple(outside[0])
        raise ValueError(f"{name} must lie in 0..1, found {_place(name, place)} = {values[place]:.6g}")
    return values


def _place(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"
