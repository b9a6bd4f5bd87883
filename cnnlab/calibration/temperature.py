"""Temperature scaling."""

import dataclasses
import functools
import warnings

import numpy as np
from scipy.special import logsumexp, softmax

from cnnlab.calibration.newton import Derivatives, minimise
from cnnlab.calibration.validation_split import SMALLEST, Faultless, log_probs, validation_examples
from cnnlab.files.strict_json import check
from cnnlab.metrics.checks import check_probs

FEWEST = 10  # wrong answers among them: with 3 it came out between .14 and 2.1, simulated where 1 is right


@dataclasses.dataclass(frozen=True)
class Temperature:
    """`softmax(log p / T)` with one number T, which changes the confidence but not the predicted class.

    Fitted by the likelihood, which is convex in 1 / T: a log-sum-exp of linear functions less a linear one.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Attributes:
      temperature: T.
      log_error: the standard error of log T, by the curvature of the likelihood; 0 where T was not fitted.
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
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Temperature":
        """Fits the temperature of the largest likelihood; warns if fewer than 10 wrong predictions determine it.

        Args:
          probs: `[n, k]` of a validation split, k classes.
          labels: `[n]`.

        Raises:
          Faultless: every answer is right, so there is no finite temperature.
          ValueError: fewer than 100 examples, or the answers are no better than chance.
        """
        probs, labels = validation_examples("temperature", probs, labels, smallest=SMALLEST)
        logits = log_probs(probs)
        chosen = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
        if (chosen == logits.max(1)).all():
            raise Faultless(
                f"all {len(labels)} validation examples it is fitted on are right, so no finite temperature is best; "
                "use more of them"
            )
        if chosen.mean() <= logits.mean():
            raise ValueError(
                "the labels are given no more probability than the other classes; are they in the right order?"
            )
        loss = functools.partial(_temperature_loss, logits=logits, chosen=chosen)
        (inverse,) = x = minimise(loss, np.ones(1))
        calibration = cls(float(1 / inverse), float(1 / (inverse * np.sqrt(len(labels) * loss(x)[2].item()))))
        wrong, (low, high) = int((chosen < logits.max(1)).sum()), calibration.interval
        if wrong < FEWEST:
            warnings.warn(
                f"the temperature {calibration.temperature:.3g} rests on {wrong} wrong answers in {len(labels)} "
                f"validation examples, and may as well be {low:.3g} or {high:.3g}; "
                f"take {-(-FEWEST * len(labels) // wrong):,} examples or more",
                stacklevel=2,
            )
        return calibration

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`."""
        return softmax(log_probs(check_probs(probs)) / self.temperature, axis=-1)


def _temperature_loss(x: np.ndarray, *, logits: np.ndarray, chosen: np.ndarray) -> Derivatives:
    """Computes the mean of `-log p(label)` as a function of the inverse temperature."""
    scaled = x[0] * logits
    probs = softmax(scaled, axis=1)
    mean = (probs * logits).sum(1)
    variance = (probs * (logits - mean[:, None]) ** 2).sum(1).mean()
    value = (logsumexp(scaled, axis=1) - x[0] * chosen).mean()
    return float(value), np.array([(mean - chosen).mean()]), np.array([[variance]])
