"""Calibration by a rising function of each class against all others."""

import dataclasses

import numpy as np

from cnnlab.calibration.one_against_rest import against_rest, together
from cnnlab.calibration.validation_split import check_classes, validation_examples
from cnnlab.files.strict_json import check


@dataclasses.dataclass(frozen=True)
class Isotonic:
    """A rising, piecewise linear function of each class's probability; the results are divided by their sum.

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

    def report(self) -> dict[str, float]:
        """Returns no numbers, because the map has none that a report could show."""
        return {}

    @staticmethod
    def smallest(classes: int) -> int:
        """Returns the smallest number of examples for a fit."""
        return 1000

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Isotonic":
        """Fits for each class the rising function that is nearest to the outcomes.

        Args: as in `Temperature.fit`.

        Raises:
          ValueError: fewer than 1,000 examples, or a class without an example.
        """
        from sklearn.isotonic import IsotonicRegression

        k = np.shape(probs)[-1]
        probs, labels = validation_examples("isotonic", probs, labels, smallest=cls.smallest(k), every_class=True)
        stated, actual = [], []
        for label in against_rest(k):
            fitted = IsotonicRegression(y_min=0, y_max=1).fit(np.clip(probs[:, label], 0, 1), labels == label)
            stated.append(tuple(fitted.X_thresholds_.tolist()))
            actual.append(tuple(fitted.y_thresholds_.tolist()))
        return cls(tuple(stated), tuple(actual))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`; equal ones if every function gives 0."""
        k = 2 if len(self.stated) == 1 else len(self.stated)
        probs = check_classes(probs, k)
        knots = zip(against_rest(k), self.stated, self.actual, strict=True)
        return together([np.interp(probs[..., label], x, y) for label, x, y in knots])
