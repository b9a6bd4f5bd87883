"""Calibration by a rising function of each class against all others."""

import dataclasses

import numpy as np

from cnnlab.calibration.one_against_rest import against_rest, together
from cnnlab.calibration.validation_split import check_classes, validation_examples
from cnnlab.files.strict_json import check


@dataclasses.dataclass(frozen=True)
class Isotonic:
    """A rising, piecewise linear function of each class's probability; the results are divided by their sum.

    The functions can take any rising shape, so they need many examples: a thousand or more (Niculescu-Mizil and
    Caruana, Predicting Good Probabilities With Supervised Learning, ICML 2005). A function may return 0, which costs
    the log-likelihood 87 nats if the class is the right one. With two classes, only the second needs a function. Each
    fit is a convex least-squares problem, which the pool-adjacent-violators algorithm solves.

    Source: Zadrozny and Elkan, as for `Platt`. It is the method of scikit-learn's
    `CalibratedClassifierCV(method="isotonic")`.

    Attributes:
      stated: rising probabilities at the knots of each function, before calibration.
      actual: calibrated probabilities at the same knots.
    """

    stated: tuple[tuple[float, ...], ...]
    actual: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        check(self)
        if not self.stated or [*map(len, self.stated)] != [*map(len, self.actual)]:
            raise ValueError("stated and actual must hold the same number of knots for each class")
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
        """Fits for each class the rising function with the least squared distance to the outcomes.

        The arguments are those of `Temperature.fit`.

        Raises:
          ValueError: there are fewer than 1,000 examples, or a class has no example.
        """
        from sklearn.isotonic import IsotonicRegression

        k = np.shape(probs)[-1]
        probs, labels = validation_examples("isotonic", probs, labels, smallest=cls.smallest(k), every_class=True)
        stated, actual = [], []
        for label in against_rest(k):
            regression = IsotonicRegression(y_min=0, y_max=1).fit(np.clip(probs[:, label], 0, 1), labels == label)
            stated.append(tuple(regression.X_thresholds_.tolist()))
            actual.append(tuple(regression.y_thresholds_.tolist()))
        return cls(tuple(stated), tuple(actual))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`; equal ones if every function gives 0."""
        k = 2 if len(self.stated) == 1 else len(self.stated)
        probs = check_classes(probs, k)
        knots = zip(against_rest(k), self.stated, self.actual, strict=True)
        return together([np.interp(probs[..., label], x, y) for label, x, y in knots])
