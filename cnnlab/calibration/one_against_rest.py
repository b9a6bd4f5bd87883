"""One-against-rest functions of classes, and the probabilities that they form together."""

import numpy as np


def against_rest(k: int) -> range:
    """Returns the classes that need a function of their own; with two classes, only the second."""
    return range(1, 2) if k == 2 else range(k)


def together(each: list[np.ndarray]) -> np.ndarray:
    """Divides the probabilities of one-against-rest functions by their sum."""
    if len(each) == 1:
        return np.stack([1 - each[0], each[0]], -1)
    probs = np.stack(each, -1)
    total = probs.sum(-1, keepdims=True)
    return np.divide(probs, total, out=np.full_like(probs, 1 / len(each)), where=total > 0)
