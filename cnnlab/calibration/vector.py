"""Calibration by a scale and a bias for each class."""

import dataclasses
import functools

import numpy as np
import scipy

from cnnlab.calibration.newton import Derivatives, minimise, towards
from cnnlab.calibration.validation_split import (
    SMALLEST,
    check_classes,
    check_parameters,
    log_probs,
    validation_examples,
)
from cnnlab.files.strict_json import check


@dataclasses.dataclass(frozen=True)
class Vector:
    """`softmax(scale * log p + bias)` with a scale and a bias per class; the predicted class may change.

    This is the diagonal case of Kull et al., Beyond temperature scaling, NeurIPS 2019, which works on log p. It equals
    vector scaling of the network's own logits (Guo et al. 2017) only if all scales are equal. The loss is convex, as it
    is for temperature scaling. The biases sum to 0, because adding a constant to all of them changes nothing.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self):
        check(self)
        check_parameters(scale=self.scale, bias=self.bias)

    def report(self) -> dict[str, float]:
        """Returns no numbers, because the map has none that a report could show."""
        return {}

    @staticmethod
    def smallest(classes: int) -> int:
        """Returns the smallest number of examples for a fit."""
        return max(SMALLEST, 10 * 2 * classes)

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray, *, penalty: float = 0.0) -> "Vector":
        """Fits the scales and biases with the largest likelihood.

        The arguments are those of `Temperature.fit`; the penalty is half the squared distance of the scales from 1 and
        of the biases from 0.

        Raises:
          ValueError: there is no penalty and there are fewer than 100 examples, or fewer than 10 per parameter, a class
            has no example, or some classes are separated without an error, so that no finite scale is best.
        """
        k = np.shape(probs)[-1]
        smallest = 1 if penalty else cls.smallest(k)
        probs, labels = validation_examples("vector", probs, labels, smallest=smallest, every_class=not penalty)
        identity = np.r_[np.ones(k), np.zeros(k)]
        loss = functools.partial(_vector_loss, logits=log_probs(probs), onehot=np.eye(k)[labels])
        loss = towards(identity, penalty / len(labels), loss)
        x = minimise(loss, identity)
        # Eigenvalue 0 is zero, because adding a constant to all biases changes nothing.
        flattest = np.linalg.eigvalsh(loss(x)[2])[1]
        if not penalty and flattest < 1e-3 / len(labels):
            raise ValueError(
                f"some of the {k} classes are separated without an error in {len(labels)} validation examples, so no "
                "finite scale is best; use more examples, or temperature"
            )
        return cls(tuple(x[:k].tolist()), tuple((x[k:] - x[k:].mean()).tolist()))

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`."""
        probs = check_classes(probs, len(self.scale))
        return scipy.special.softmax(log_probs(probs) * self.scale + self.bias, axis=-1)


def _vector_loss(x: np.ndarray, *, logits: np.ndarray, onehot: np.ndarray) -> Derivatives:
    """Computes the mean of `-log p(label)` and its derivatives by the k scales and k biases `x`."""
    n, k = logits.shape
    scaled = logits * x[:k] + x[k:]
    probs = scipy.special.softmax(scaled, axis=1)
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
    value = (scipy.special.logsumexp(scaled, axis=1) - (scaled * onehot).sum(1)).mean()
    return float(value), np.r_[(excess * logits).mean(0), excess.mean(0)], hessian
