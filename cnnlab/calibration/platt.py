"""Calibration by a logistic function of each class against all others."""

import dataclasses
import functools

import numpy as np
import scipy

from cnnlab.calibration.newton import Derivatives, minimise, towards
from cnnlab.calibration.one_against_rest import against_rest, together
from cnnlab.calibration.validation_split import (
    SMALLEST,
    check_classes,
    check_parameters,
    log_probs,
    validation_examples,
)
from cnnlab.files.strict_json import check


@dataclasses.dataclass(frozen=True)
class Platt:
    """`sigmoid(slope log(p / (1 - p)) + intercept)` for each class against all others, divided by the sum over classes.

    With two classes, only the second needs a sigmoid. The targets are `(n_1 + 1) / (n_1 + 2)` and `1 / (n_0 + 2)`
    instead of 1 and 0, so that a finite optimum exists even if the class is separable from the others. The logistic
    loss is convex.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999; Zadrozny and Elkan, Transforming Classifier
    Scores into Accurate Multiclass Probability Estimates, KDD 2002, for more than two classes. It is the method of
    scikit-learn's `CalibratedClassifierCV(method="sigmoid")` with the log-odds as its decision function.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]

    def __post_init__(self):
        check(self)
        check_parameters(slope=self.slope, intercept=self.intercept)

    def report(self) -> dict[str, float]:
        """Returns no numbers, because the map has none that a report could show."""
        return {}

    @staticmethod
    def smallest(classes: int) -> int:
        """Returns the smallest number of examples for a fit."""
        return max(SMALLEST, 10 * 2 * len(against_rest(classes)))

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray, *, penalty: float = 0.0) -> "Platt":
        """Fits the slopes and intercepts with the largest likelihood.

        The arguments are those of `Temperature.fit`; the penalty is half the squared distance of each slope from 1 and
        of each intercept from 0.

        Raises:
          ValueError: there is no penalty and there are fewer than 100 examples, or fewer than 10 per parameter, or a
            class has no example.
        """
        k = np.shape(probs)[-1]
        smallest = 1 if penalty else cls.smallest(k)
        probs, labels = validation_examples("platt", probs, labels, smallest=smallest, every_class=not penalty)
        odds, parameters = _log_odds(probs), []
        for label in against_rest(k):
            yes = labels == label
            target = np.where(yes, (yes.sum() + 1) / (yes.sum() + 2), 1 / ((~yes).sum() + 2))
            loss = functools.partial(_logistic_loss, odds=odds[:, label], target=target)
            identity = np.array([1.0, 0.0])
            parameters.append(minimise(towards(identity, penalty / len(labels), loss), identity))
        slope, intercept = np.transpose(parameters).tolist()
        return cls(tuple(slope), tuple(intercept))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`."""
        k = 2 if len(self.slope) == 1 else len(self.slope)
        odds = _log_odds(check_classes(probs, k))
        each = [
            scipy.special.expit(slope * odds[..., label] + intercept)
            for label, slope, intercept in zip(against_rest(k), self.slope, self.intercept, strict=True)
        ]
        return together(each)


def _logistic_loss(x: np.ndarray, *, odds: np.ndarray, target: np.ndarray) -> Derivatives:
    """Computes the mean cross-entropy and its derivatives by slope and intercept `x`."""
    logits = x[0] * odds + x[1]
    yes = scipy.special.expit(logits)
    features = np.stack([odds, np.ones_like(odds)], -1)
    value = (np.logaddexp(0, logits) - target * logits).mean()
    hessian = (features * (yes * (1 - yes))[:, None]).T @ features / len(odds)
    return float(value), features.T @ (yes - target) / len(odds), hessian


def _log_odds(probs: np.ndarray) -> np.ndarray:
    return log_probs(probs) - log_probs(1 - probs)
