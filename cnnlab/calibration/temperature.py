"""Temperature scaling: calibration by one number that divides all logits."""

import dataclasses
import functools
import warnings

import numpy as np
import scipy

from cnnlab.calibration.newton import Derivatives, minimise, towards
from cnnlab.calibration.validation_split import SMALLEST, Faultless, log_probs, validation_examples
from cnnlab.files.strict_json import check
from cnnlab.metrics.checks import check_probs

_NO_BETTER = (
    "the probabilities of the labels are no higher than those of the other classes; check that labels and "
    "probabilities are in the same order"
)
FEWEST = 10  # wrong predictions on the validation split; with fewer the temperature is too uncertain


@dataclasses.dataclass(frozen=True)
class Temperature:
    """`softmax(log p / T)` with one number T, which changes the confidence but not the predicted class.

    The fit maximises the likelihood. The negative log-likelihood is convex in 1 / T, because it is a log-sum-exp of
    linear functions minus a linear function.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Attributes:
      temperature: T.
      log_error: standard error of log T, computed from the curvature of the likelihood; 0 if T was not fitted.
    """

    temperature: float
    log_error: float = 0.0

    def __post_init__(self):
        check(self)
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive and finite, found {self.temperature}")
        if not self.log_error >= 0:
            raise ValueError(f"log_error must be 0 or more, found {self.log_error}")

    @property
    def interval(self) -> tuple[float, float]:
        """Returns the 95 % interval of the temperature."""
        return tuple(self.temperature * float(np.exp(side * self.log_error)) for side in (-1.96, 1.96))

    def report(self) -> dict[str, float]:
        """Returns `temperature` and its 95 % interval, `temperature_low` and `temperature_high`."""
        low, high = self.interval
        return {"temperature": self.temperature, "temperature_low": low, "temperature_high": high}

    @staticmethod
    def smallest(classes: int) -> int:
        """Returns the smallest number of examples for a fit."""
        return SMALLEST

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray, *, penalty: float = 0.0) -> "Temperature":
        """Fits the temperature with the largest likelihood; warns if fewer than 10 wrong predictions determine it.

        Args:
          probs: probabilities `[n, k]` on a validation split, for k classes.
          labels: true classes `[n]`.
          penalty: weight of the penalty `(1 / T - 1)^2 / 2`, which is added to the summed negative log-likelihood. Any
            penalty above 0 has a finite optimum on every split, so that small and faultless ones are allowed too.

        Raises:
          Faultless: there is no penalty and every prediction is right, so that no finite temperature is best.
          ValueError: there is no penalty and there are fewer than 100 examples, or the predictions are no better than
            chance.
        """
        probs, labels = validation_examples("temperature", probs, labels, smallest=1 if penalty else SMALLEST)
        logits = log_probs(probs)
        chosen = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
        if not penalty and (chosen == logits.max(1)).all():
            raise Faultless(
                f"all {len(labels)} validation examples are predicted right, so no finite temperature is best; "
                "use more examples"
            )
        if not penalty and chosen.mean() <= logits.mean():
            raise ValueError(_NO_BETTER)
        loss = functools.partial(_temperature_loss, logits=logits, chosen=chosen)
        loss = towards(np.ones(1), penalty / len(labels), loss)
        (inverse,) = x = minimise(loss, np.ones(1))
        if inverse <= 0:
            raise ValueError(_NO_BETTER)
        calibration = cls(float(1 / inverse), float(1 / (inverse * np.sqrt(len(labels) * loss(x)[2].item()))))
        wrong, (low, high) = int((chosen < logits.max(1)).sum()), calibration.interval
        if wrong < FEWEST and not penalty:
            warnings.warn(
                f"the temperature {calibration.temperature:.3g} rests on {wrong} wrong predictions in {len(labels)} "
                f"validation examples; its 95 % interval is {low:.3g} to {high:.3g}; "
                f"use {-(-FEWEST * len(labels) // wrong):,} examples or more",
                stacklevel=2,
            )
        return calibration

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`."""
        return scipy.special.softmax(log_probs(check_probs(probs)) / self.temperature, axis=-1)


def _temperature_loss(x: np.ndarray, *, logits: np.ndarray, chosen: np.ndarray) -> Derivatives:
    """Computes the mean of `-log p(label)` and its derivatives by the inverse temperature `x`."""
    scaled = x[0] * logits
    probs = scipy.special.softmax(scaled, axis=1)
    mean = (probs * logits).sum(1)
    variance = (probs * (logits - mean[:, None]) ** 2).sum(1).mean()
    value = (scipy.special.logsumexp(scaled, axis=1) - x[0] * chosen).mean()
    return float(value), np.array([(mean - chosen).mean()]), np.array([[variance]])
