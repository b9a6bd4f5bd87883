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
    def fit(cls, probs: np.ndarray, labels: np.ndarray, *, penalty: float = 0.0) -> "Isotonic":
        """Fits for each class the rising function with the least squared distance to the outcomes.

        The arguments are those of `Temperature.fit`. The penalty is a number of pseudo-examples that each step of a
        function gets, whose outcome is the mean of the probabilities stated there: steps of few examples stay close to
        the identity.

        Raises:
          ValueError: there is no penalty and there are fewer than 1,000 examples, or a class has no example.
        """
        k = np.shape(probs)[-1]
        smallest = 1 if penalty else cls.smallest(k)
        probs, labels = validation_examples("isotonic", probs, labels, smallest=smallest, every_class=not penalty)
        knots = [_rising(np.clip(probs[:, label], 0, 1), labels == label, penalty) for label in against_rest(k)]
        stated, actual = zip(*knots, strict=True)
        return cls(stated, actual)

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`; equal ones if every function gives 0."""
        k = 2 if len(self.stated) == 1 else len(self.stated)
        probs = check_classes(probs, k)
        knots = zip(against_rest(k), self.stated, self.actual, strict=True)
        return together([np.interp(probs[..., label], x, y) for label, x, y in knots])


def _rising(stated: np.ndarray, outcome: np.ndarray, penalty: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fits a rising function to outcomes `[n]` of probabilities `[n]`, and returns its knots and their values."""
    from sklearn.isotonic import IsotonicRegression

    regression = IsotonicRegression(y_min=0, y_max=1).fit(stated, outcome)
    if penalty:
        _, step = np.unique(regression.predict(stated), return_inverse=True)
        count = np.bincount(step)
        mean = (np.bincount(step, outcome) + penalty * np.bincount(step, stated) / count) / (count + penalty)
        regression.fit(stated, mean[step], sample_weight=(1 + penalty / count)[step])
    return tuple(regression.X_thresholds_.tolist()), tuple(regression.y_thresholds_.tolist())
