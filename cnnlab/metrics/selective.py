"""Selective prediction: how the error rate falls if uncertain examples are rejected.

Coverage is the share of examples whose predictions are accepted, most confident first. Risk is the share of accepted
predictions that are wrong. Examples of equal confidence have no order, so every number is the mean over all orders.
"""

from typing import NamedTuple

import numpy as np

from cnnlab.metrics.checks import check_scored


class RiskCoverage(NamedTuple):
    """Coverage `[n]` and risk `[n]` for each number of accepted predictions from 1 to n."""

    coverage: np.ndarray
    risk: np.ndarray


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """Computes the risk at every coverage, most confident examples first.

    Source: El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, JMLR 11, 2010.

    Args:
      confidence: `[n]` confidences, such as probabilities or negative entropies; larger is more confident.
      correct: `[n]`, whether each prediction is correct.

    Raises:
      ValueError: there are no examples, there is a NaN, or an entry of `correct` is neither 0 nor 1.

    >>> risk_coverage(np.array([0.9, 0.8, 0.8, 0.6]), np.array([1, 0, 1, 1])).risk.round(4).tolist()
    [0.0, 0.25, 0.3333, 0.25]
    """
    confidence, correct = check_scored(confidence, correct)
    values, group, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    accepted = np.r_[0, count.cumsum()]
    wrong = np.r_[0, np.bincount(group, 1 - correct, len(values)).cumsum()]
    number = np.arange(1, len(confidence) + 1)
    return RiskCoverage(number / len(confidence), np.interp(number, accepted, wrong) / number)


def aurc(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Computes the area under the risk-coverage curve: the mean risk over all coverages `1/n .. 1`; 0 is best.

    Source: Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019.
    torch-uncertainty integrates from 1/n to 1 by trapezoids instead. With the risks r_1 .. r_n, its value is
    `(n aurc - (r_1 + r_n) / 2) / (n - 1)`; it depends on the order of equal confidences.

    Args: as in `risk_coverage`.

    >>> round(aurc(np.array([0.9, 0.8, 0.6]), np.array([1, 0, 1])), 6)  # (0 + 1/2 + 1/3) / 3
    0.277778
    """
    return float(risk_coverage(confidence, correct).risk.mean())


def augrc(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Computes the area under the generalised risk-coverage curve (risk times coverage); 0 is best.

    It is the probability that a random example is accepted at a random threshold and predicted wrongly. With the error
    rate e and the AUROC of correct against wrong predictions, it equals `(1 - AUROC) e (1 - e) + e^2 / 2`. The
    integral uses trapezoids from coverage 0, as in the paper; torch-uncertainty begins at 1/n and divides by 1 - 1/n.

    Source: Traub et al., Overcoming Common Flaws in the Evaluation of Selective Classification Systems, NeurIPS 2024.

    Args: as in `risk_coverage`.

    >>> round(augrc(np.array([0.9, 0.8, 0.6]), np.array([1, 0, 1])), 6)  # (1/2) (1/3) (2/3) + 1/18
    0.166667
    """
    coverage, risk = risk_coverage(confidence, correct)
    joint = np.r_[0, coverage * risk]
    return float((joint[1:] + joint[:-1]).sum() / 2 / len(risk))


def risk_at_coverage(confidence: np.ndarray, correct: np.ndarray, coverage: float = 0.8) -> float:
    """Returns the risk at the smallest possible coverage that is at least `coverage`.

    Args:
      confidence: as in `risk_coverage`.
      correct: as in `risk_coverage`.
      coverage: share of examples to accept, in 0 < coverage <= 1.

    >>> risk_at_coverage(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 1, 1, 0, 0]), 0.8)
    0.25
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in 0 < coverage <= 1, found {coverage}")
    curve = risk_coverage(confidence, correct)
    return float(curve.risk[np.searchsorted(curve.coverage, coverage - 1e-9)])  # 0.7 may be stored as 0.70000000001
