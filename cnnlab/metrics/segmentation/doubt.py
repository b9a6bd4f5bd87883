"""Tests whether the uncertainty of pixels predicts their errors."""

from collections.abc import Mapping

import numpy as np

from cnnlab.metrics.calibration.errors import ece_floor, expected_calibration_error
from cnnlab.metrics.selective import risk_at_coverage
from cnnlab.metrics.separation import separation

PIXELS = 200_000
"""Largest number of pixels, evenly spread, that enter the scores; more would hardly change them, and sort slowly."""

SET_ASIDE = (1, 5, 10)
"""Percentages of the least confident pixels that `accuracy_without_NUMBER` leaves out."""


def doubt_scores(confidence: np.ndarray, correct: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Computes `ece`, `ece_floor`, `error_auroc_NAME` of every score, and `accuracy_without_1`, `_5`, `_10`.

    `error_auroc_NAME` is the probability that a wrong pixel has a larger score than a correct pixel; it is NaN if all
    pixels are correct or all are wrong. `accuracy_without_5` is the accuracy without the least confident 5 % of pixels.
    `ece_floor` is a lower bound, because it treats pixels as independent, and neighbouring pixels are not.

    Args:
      confidence: `[n]` probabilities of the predicted classes.
      correct: `[n]`, whether each prediction is correct.
      scores: uncertainties `[n]` by name, such as variance, entropy or mutual information; larger is less certain.

    Returns:
      The scores by name; an empty dictionary without pixels.

    >>> scores = doubt_scores(np.array([0.9, 0.8, 0.6]), np.array([1, 1, 0]), {"entropy": np.array([0.1, 0.5, 0.4])})
    >>> scores["error_auroc_entropy"], scores["error_auroc_confidence"], round(scores["accuracy_without_10"], 4)
    (0.5, 1.0, 0.6667)
    """
    n = len(confidence)
    if not n:
        return {}
    chosen = np.linspace(0, n - 1, min(n, PIXELS)).astype(np.int64)
    confidence, correct = np.asarray(confidence, np.float64)[chosen], np.asarray(correct, bool)[chosen]
    out = {"ece": expected_calibration_error(confidence, correct), "ece_floor": ece_floor(confidence, draws=20)}
    scores = {"confidence": 1 - confidence} | {name: np.asarray(score)[chosen] for name, score in scores.items()}
    for name, score in scores.items():
        both = correct.any() and not correct.all()
        out[f"error_auroc_{name}"] = separation(score[correct], score[~correct]).auroc if both else float("nan")
    for share in SET_ASIDE:
        risk = risk_at_coverage(confidence, correct, 1 - share / 100)
        out[f"accuracy_without_{share}"] = 1 - risk
    return out
