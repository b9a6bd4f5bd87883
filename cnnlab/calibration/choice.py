"""The choice whether a calibration is kept: only if cross-validation on the validation split shows a gain."""

import dataclasses
import math

import numpy as np

from cnnlab.calibration.methods import Calibration, known_calibration
from cnnlab.calibration.validation_split import log_probs
from cnnlab.files import strict_json
from cnnlab.metrics.checks import check_examples, check_labels

PENALTY = 1.0  # of `Calibration.fit`: a doubled inverse temperature costs as much as half a nat of log-likelihood
FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Quality:
    """How well a calibration did in cross-validation, and whether it is kept.

    Attributes:
      method: name of the calibration's method.
      examples: number of examples on which it was fitted.
      wrong: number of wrong predictions among them.
      gain: mean fall of the negative log-likelihood in nats, each example calibrated by a fit to the other folds.
      low: lower end of the gain's 95 % interval.
      high: upper end of the gain's 95 % interval.
    """

    method: str
    examples: int
    wrong: int
    gain: float
    low: float
    high: float

    def __post_init__(self):
        strict_json.check(self)

    @property
    def kept(self) -> bool:
        """Whether the interval lies above 0, so that the calibration is kept."""
        return self.low > 0

    def sentence(self) -> str:
        """Returns the result in one line.

        >>> Quality("temperature", 156, 1, -0.01, -0.05, 0.03).sentence()
        'temperature is not kept: on 156 validation examples (1 wrong) its cross-validated gain in NLL is -0.0100, with the 95 % interval -0.0500 to 0.0300, which does not exclude 0'
        """  # noqa: E501
        subject = f"on {self.examples:,} validation examples ({self.wrong:,} wrong)"
        interval = f"the 95 % interval {self.low:.4f} to {self.high:.4f}"
        gain = f"cross-validated gain in NLL is {self.gain:.4f}, with {interval}"
        if self.kept:
            return f"{self.method} is fitted {subject}; its {gain}"
        why = "which does not exclude 0" if self.high > 0 else "which lies below 0"
        return f"{self.method} is not kept: {subject} its {gain}, {why}"


def choose_calibration(
    method: str, probs: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> tuple[Calibration | None, Quality]:
    """Fits a calibration map with a penalty towards the identity, and keeps it only if it shows a gain.

    The gain of an example is the fall of its negative log-likelihood, with `with_floor`, under a map that was fitted to
    the other folds. The map is kept if the 95 % interval of the mean gain (Student's t) lies above 0.

    Args:
      method: method of `fit_calibration`.
      probs: probabilities `[n, k]`.
      labels: true classes `[n]`.
      seed: seed that divides the examples into folds.

    Returns:
      The map fitted to all examples, or None if it is not kept; and its quality.

    Raises:
      ValueError: the name is unknown, there are too few examples, or the predictions are no better than chance.

    >>> probs, labels = np.array([[0.9, 0.1]] * 400), np.array([0] * 260 + [1] * 140)  # overconfident
    >>> calibration, quality = choose_calibration("temperature", probs, labels)
    >>> quality.kept, calibration.apply(probs)[0].round(2).tolist()
    (True, [0.65, 0.35])
    """
    from scipy.stats import t

    kind = known_calibration(method)
    probs = check_examples(probs)
    labels = check_labels(labels, probs)
    n, k = probs.shape
    if n < kind.smallest(k):
        raise ValueError(f"{method} needs a validation split of {kind.smallest(k)} examples or more, found {n}")
    calibration = kind.fit(probs, labels, penalty=PENALTY)
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    held_out = np.empty_like(probs)
    for number in range(FOLDS):
        inside, others = fold == number, fold != number
        fitted = kind.fit(probs[others], labels[others], penalty=PENALTY)
        held_out[inside] = with_floor(fitted.apply(probs[inside]), int(others.sum()))
    gains = _log_likelihoods(held_out, labels) - _log_likelihoods(probs, labels)
    half = float(t.ppf(0.975, n - 1)) * float(gains.std(ddof=1)) / math.sqrt(n)
    gain, wrong = float(gains.mean()), int((probs.argmax(1) != labels).sum())
    quality = Quality(method, n, wrong, gain, gain - half, gain + half)
    return (calibration if quality.kept else None), quality


def with_floor(probs: np.ndarray, examples: int) -> np.ndarray:
    """Mixes probabilities with the uniform distribution, so that none is smaller or larger than n examples support.

    By the rule of succession an outcome that n examples never showed has the probability 1 / (n + 2) (Laplace, 1774).
    So no class exceeds `(n + 1) / (n + 2)`, and none falls below `1 / ((k - 1) (n + 2))`. The order of the classes
    stays the same.

    Args:
      probs: probabilities `[..., k]`.
      examples: n.

    >>> with_floor(np.array([1.0, 0.0]), 98).tolist()
    [0.99, 0.01]
    """
    k = probs.shape[-1]
    if k == 1:
        return probs
    share = k / ((k - 1) * (examples + 2))
    return (1 - share) * probs + share / k


def _log_likelihoods(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Computes `log p(label)` `[n]`; 0 counts as the smallest positive float32, as in the metrics."""
    return log_probs(np.take_along_axis(probs, labels[:, None], 1)[:, 0])
