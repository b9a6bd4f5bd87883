"""Helpers for maps that fit one function per class, which separates it from all others."""

import numpy as np


def against_rest(k: int) -> range:
    """Returns the classes that need a function of their own: all, or only the second of two."""
    return range(1, 2) if k == 2 else range(k)


def together(each: list[np.ndarray]) -> np.ndarray:
    """Combines the results of one-against-rest functions into probabilities `[..., k]` that sum to 1."""
    if len(each) == 1:
        return np.stack([1 - each[0], each[0]], -1)
    probs = np.stack(each, -1)
    total = probs.sum(-1, keepdims=True)
    return np.divide(probs, total, out=np.full_like(probs, 1 / len(each)), where=total > 0)
