"""Calibration of each class against all others."""

import dataclasses
import functools

import numpy as np

from cnnlab.training.strict_json import check
from cnnlab.uncertainty.newton import Derivatives, minimise
from cnnlab.uncertainty.scaling import SMALLEST
from cnnlab.uncertainty.validation_split import check_classes, check_parameters, log_probs, validation_examples


@dataclasses.dataclass(frozen=True)
class Platt:
    """`sigmoid(slope log(p / (1 - p)) + intercept)` for each class against all others, then divided by their sum.

    Two classes need one sigmoid, of the second. Targets are `(n_1 + 1) / (n_1 + 2)` and `1 / (n_0 + 2)` instead of 1
    and 0, so a finite optimum exists even where both sides are told apart. The logistic loss is convex.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999; Zadrozny and Elkan, Transforming Classifier
    Scores into Accurate Multiclass Probability Estimates, KDD 2002, for more than two classes. As in scikit-learn's
    `CalibratedClassifierCV(method="sigmoid")`, given the log-odds as decision function.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]

    def __post_init__(self):
        check(self)
        check_parameters(slope=self.slope, intercept=self.intercept)

    @staticmethod
    def smallest(classes: int) -> int:
        """How many examples a fit takes at least."""
        return max(SMALLEST, 10 * 2 * len(_against_rest(classes)))

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Platt":
        """Slopes and intercepts of the largest likelihood.

        Args: as in `Temperature.fit`.

        Raises:
          ValueError: fewer than 100 examples or 10 a parameter, or a class without an example.
        """
        k = np.shape(probs)[-1]
        probs, labels = validation_examples("platt", probs, labels, smallest=cls.smallest(k), every_class=True)
        odds, fitted = _log_odds(probs), []
        for label in _against_rest(k):
            yes = labels == label
            target = np.where(yes, (yes.sum() + 1) / (yes.sum() + 2), 1 / ((~yes).sum() + 2))
            loss = functools.partial(_logistic_loss, odds=odds[:, label], target=target)
            fitted.append(minimise(loss, np.array([1.0, 0.0])))
        slope, intercept = np.transpose(fitted).tolist()
        return cls(tuple(slope), tuple(intercept))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, of the shape of `probs`."""
        k = 2 if len(self.slope) == 1 else len(self.slope)
        odds = _log_odds(check_classes(probs, k))
        each = [
            _sigmoid(slope * odds[..., label] + intercept)
            for label, slope, intercept in zip(_against_rest(k), self.slope, self.intercept, strict=True)
        ]
        return _together(each)


@dataclasses.dataclass(frozen=True)
class Isotonic:
    """Any rising function of each class's probability, linear between its knots, then divided by their sum.

    It follows every shape and needs many examples for it: a thousand or more (Niculescu-Mizil and Caruana, Predicting
    Good Probabilities With Supervised Learning, ICML 2005). It may answer 0, which costs a likelihood 87 nats where it
    is wrong. Two classes need one function, of the second. Least squares by pooling adjacent violators, convex.

    Source: Zadrozny and Elkan, as for `Platt`. As in scikit-learn's `CalibratedClassifierCV(method="isotonic")`.
    """

    stated: tuple[tuple[float, ...], ...]
    actual: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        check(self)
        if not self.stated or [*map(len, self.stated)] != [*map(len, self.actual)]:
            raise ValueError("stated and actual must hold as many knots for each class")
        for knots in (*self.stated, *self.actual):
            if not (knots and knots[0] >= 0 and knots[-1] <= 1 and (np.diff(knots) >= 0).all()):
                raise ValueError(f"the knots of stated and actual must rise within 0..1, found {knots}")

    @staticmethod
    def smallest(classes: int) -> int:
        """How many examples a fit takes at least."""
        return 1000

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Isotonic":
        """The rising functions nearest to what happened.

        Args: as in `Temperature.fit`.

        Raises:
          ValueError: fewer than 1,000 examples, or a class without an example.
        """
        from sklearn.isotonic import IsotonicRegression

        k = np.shape(probs)[-1]
        probs, labels = validation_examples("isotonic", probs, labels, smallest=cls.smallest(k), every_class=True)
        stated, actual = [], []
        for label in _against_rest(k):
            fitted = IsotonicRegression(y_min=0, y_max=1).fit(np.clip(probs[:, label], 0, 1), labels == label)
            stated.append(tuple(fitted.X_thresholds_.tolist()))
            actual.append(tuple(fitted.y_thresholds_.tolist()))
        return cls(tuple(stated), tuple(actual))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, of the shape of `probs`; equal ones where every function says 0."""
        k = 2 if len(self.stated) == 1 else len(self.stated)
        probs = check_classes(probs, k)
        knots = zip(_against_rest(k), self.stated, self.actual, strict=True)
        return _together([np.interp(probs[..., label], x, y) for label, x, y in knots])


def _logistic_loss(x: np.ndarray, *, odds: np.ndarray, target: np.ndarray) -> Derivatives:
    """Mean cross-entropy by slope and intercept."""
    logits = x[0] * odds + x[1]
    yes = _sigmoid(logits)
    features = np.stack([odds, np.ones_like(odds)], -1)
    value = (np.logaddexp(0, logits) - target * logits).mean()
    hessian = (features * (yes * (1 - yes))[:, None]).T @ features / len(odds)
    return float(value), features.T @ (yes - target) / len(odds), hessian


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


def _log_odds(probs: np.ndarray) -> np.ndarray:
    return log_probs(probs) - log_probs(1 - probs)


def _against_rest(k: int) -> range:
    """The classes that need a function of their own: of two, the second one."""
    return range(1, 2) if k == 2 else range(k)


def _together(each: list[np.ndarray]) -> np.ndarray:
    """Probabilities of one-against-rest functions, divided by their sum."""
    if len(each) == 1:
        return np.stack([1 - each[0], each[0]], -1)
    probs = np.stack(each, -1)
    total = probs.sum(-1, keepdims=True)
    return np.divide(probs, total, out=np.full_like(probs, 1 / len(each)), where=total > 0)
