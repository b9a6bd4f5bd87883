"""Calibration by a softmax of scaled log-probabilities."""

import dataclasses
import functools
import warnings

import numpy as np

from cnnlab.metrics.checks import check_probs
from cnnlab.training.strict_json import check
from cnnlab.uncertainty.newton import Derivatives, minimise
from cnnlab.uncertainty.validation_split import (
    Faultless,
    check_classes,
    check_parameters,
    log_probs,
    validation_examples,
)

SMALLEST = 100  # examples: a temperature is then known to 12 to 17 %, simulated at an accuracy of 66 to 86 %
FEWEST = 10  # wrong answers among them: with 3 it came out between .14 and 2.1, simulated where 1 is right


@dataclasses.dataclass(frozen=True)
class Temperature:
    """`softmax(log p / T)`: one number; the answers stay, only their confidence changes.

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
        """Of 95 %."""
        return tuple(self.temperature * float(np.exp(side * self.log_error)) for side in (-1.96, 1.96))

    @staticmethod
    def smallest(classes: int) -> int:
        """How many examples a fit takes at least."""
        return SMALLEST

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Temperature":
        """The temperature of the largest likelihood; warns where fewer than 10 wrong answers decide it.

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
        found = cls(float(1 / inverse), float(1 / (inverse * np.sqrt(len(labels) * loss(x)[2].item()))))
        wrong, (low, high) = int((chosen < logits.max(1)).sum()), found.interval
        if wrong < FEWEST:
            warnings.warn(
                f"the temperature {found.temperature:.3g} rests on {wrong} wrong answers in {len(labels)} validation "
                f"examples, and may as well be {low:.3g} or {high:.3g}; take {-(-FEWEST * len(labels) // wrong):,} "
                "examples or more",
                stacklevel=2,
            )
        return found

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, of the shape of `probs`."""
        return softmax(log_probs(check_probs(probs)) / self.temperature)


@dataclasses.dataclass(frozen=True)
class Vector:
    """`softmax(scale * log p + bias)`, a scale and a bias for each class; answers may change.

    On log p it is the diagonal case of Kull et al., Beyond temperature scaling, NeurIPS 2019, and equals vector scaling
    of the network's own logits (Guo et al. 2017) only where all scales are equal. Convex as temperature scaling is. The
    biases sum to 0, as a constant added to all changes nothing.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self):
        check(self)
        check_parameters(scale=self.scale, bias=self.bias)

    @staticmethod
    def smallest(classes: int) -> int:
        """How many examples a fit takes at least."""
        return max(SMALLEST, 10 * 2 * classes)

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray) -> "Vector":
        """Scales and biases of the largest likelihood.

        Args: as in `Temperature.fit`.

        Raises:
          ValueError: fewer than 100 examples or 10 a parameter, a class without an example, or some classes are told
            apart without an error, so that no finite scale is best.
        """
        k = np.shape(probs)[-1]
        probs, labels = validation_examples("vector", probs, labels, smallest=cls.smallest(k), every_class=True)
        loss = functools.partial(_vector_loss, logits=log_probs(probs), onehot=np.eye(k)[labels])
        x = minimise(loss, np.r_[np.ones(k), np.zeros(k)])
        flattest = np.linalg.eigvalsh(loss(x)[2])[1]  # after the bias that is free
        if flattest < 1e-3 / len(labels):
            raise ValueError(
                f"some of the {k} classes are told apart without an error in {len(labels)} validation examples, so no "
                "finite scale is best; use more examples, or temperature"
            )
        return cls(tuple(x[:k].tolist()), tuple((x[k:] - x[k:].mean()).tolist()))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, of the shape of `probs`."""
        probs = check_classes(probs, len(self.scale))
        return softmax(log_probs(probs) * self.scale + self.bias)


def _temperature_loss(x: np.ndarray, *, logits: np.ndarray, chosen: np.ndarray) -> Derivatives:
    """Mean `-log p(label)` by the inverse temperature."""
    scaled = x[0] * logits
    probs = softmax(scaled)
    mean = (probs * logits).sum(1)
    variance = (probs * (logits - mean[:, None]) ** 2).sum(1).mean()
    value = (_log_sum_exp(scaled) - x[0] * chosen).mean()
    return float(value), np.array([(mean - chosen).mean()]), np.array([[variance]])


def _vector_loss(x: np.ndarray, *, logits: np.ndarray, onehot: np.ndarray) -> Derivatives:
    """Mean `-log p(label)` by k scales and k biases."""
    n, k = logits.shape
    scaled = logits * x[:k] + x[k:]
    probs = softmax(scaled)
    excess = probs - onehot
    # Each logit is linear in its own scale and bias: the Hessian is the mean over examples of J^T (diag p - p p^T) J.
    weighted = np.c_[probs * logits, probs]
    hessian = -weighted.T @ weighted / n
    own = np.arange(k)
    cross = (probs * logits).mean(0)
    hessian[own, own] += (probs * logits**2).mean(0)
    hessian[own, own + k] += cross
    hessian[own + k, own] += cross
    hessian[own + k, own + k] += probs.mean(0)
    value = (_log_sum_exp(scaled) - (scaled * onehot).sum(1)).mean()
    return float(value), np.r_[(excess * logits).mean(0), excess.mean(0)], hessian


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities on the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    largest = logits.max(-1)
    return largest + np.log(np.exp(logits - largest[..., None]).sum(-1))
