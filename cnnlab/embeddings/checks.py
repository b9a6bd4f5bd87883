"""Checks of features that every map and measure of them needs."""

import numpy as np


def check_features(features: np.ndarray, *, least: int = 1, reason: str = "") -> None:
    """Raises `ValueError` unless features are `[N, D]`, finite and of enough images.

    Args:
      features: the features.
      least: smallest number of images.
      reason: what needs so many, and what to do, for the message.
    """
    if np.ndim(features) != 2:
        raise ValueError(f"features must be [N, D], found {list(np.shape(features))}")
    if len(features) < least:
        raise ValueError(f"{reason or 'this'} needs {least} images or more, found {len(features)}")
    wrong = ~np.isfinite(features).all(1)
    if wrong.any():
        raise ValueError(
            f"the features of {wrong.sum()} of {len(features)} images hold NaN or infinity, first those of image "
            f"{int(wrong.argmax())}; the network may have diverged: choose another layer or an earlier step"
        )
