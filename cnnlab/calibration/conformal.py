"""Conformal prediction: sets of classes that contain the true class with a chosen probability.

A score says how badly a class fits an example. The fit computes the scores of the true classes on a calibration split
and takes as its threshold the value that only a share `error` of them exceeds. The set of a new example holds all
classes whose score does not exceed the threshold. If the new examples come from the distribution of the calibration
split, `P(label in set) >= 1 - error`, a probability over both the calibration split and the new example (Vovk,
Gammerman and Shafer, Algorithmic Learning in a Random World, 2005). This holds for any probabilities, also for means
over MC-Dropout passes.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from cnnlab.calibration.validation_split import check_classes
from cnnlab.files import strict_json
from cnnlab.metrics.checks import check_examples, check_labels, check_numbers, check_unit

_SLACK = 1e-8  # tolerance for the rounding of cumulative sums, as in MAPIE


def lac(probs: np.ndarray) -> np.ndarray:
    """Returns `1 - p`.

    Source: Sadinle, Lei and Wasserman, Least Ambiguous Set-Valued Classifiers With Bounded Error Levels, JASA 114,
    2019.
    """
    return 1 - probs


def aps(probs: np.ndarray, *, uniform: np.ndarray | None = None) -> np.ndarray:
    """Returns each class's cumulative probability, from the most probable class down to it, minus `u` times its own.

    Each example has one u, as in the paper, crepes and MAPIE; torch-uncertainty draws one u for every class.

    Source: Romano, Sesia and Candès, Classification with Valid and Adaptive Coverage, NeurIPS 2020.
    """
    return _cumulative_scores(probs, uniform, 0.0)


def raps(probs: np.ndarray, *, uniform: np.ndarray | None = None, penalty: float = 0.1, rank: int = 1) -> np.ndarray:
    """Returns `aps` plus `penalty * max(place - rank, 0)`, where the most probable class has place 1.

    Calibration and prediction use the same penalty. MAPIE follows the paper's algorithm 3 instead, which also scales
    the penalty of the last class.

    Source: Angelopoulos et al., Uncertainty Sets for Image Classifiers using Conformal Prediction, ICLR 2021.
    """
    if penalty < 0 or rank < 0:
        raise ValueError(f"penalty and rank must be 0 or more, found {penalty} and {rank}")
    return _cumulative_scores(probs, uniform, penalty * np.maximum(np.arange(1, probs.shape[1] + 1) - rank, 0))


def _cumulative_scores(probs: np.ndarray, uniform: np.ndarray | None, penalties: np.ndarray | float) -> np.ndarray:
    """Sums probabilities in falling order, subtracts `u p` and adds the penalty of each place `[k]`."""
    order = np.argsort(-probs, axis=1, kind="stable")
    falling = np.take_along_axis(probs, order, 1)
    scores = falling.cumsum(1)
    if uniform is not None:
        uniform = check_unit("uniform", check_numbers("uniform", uniform))
        if len(uniform) != len(probs):
            raise ValueError(f"uniform must hold one number per example, {len(probs)} in all, found {len(uniform)}")
        scores -= uniform[:, None] * falling
    unsorted = np.empty_like(scores)
    np.put_along_axis(unsorted, order, scores + penalties, 1)
    return unsorted


SCORES: dict[str, Callable[..., np.ndarray]] = {"lac": lac, "aps": aps, "raps": raps}
"""Functions that compute scores `[n, k]`, by name; a high score means that the class fits badly. `conformity_scores`
passes `uniform`, `penalty` and `rank` to the functions that take them. A function that takes `uniform` is randomised.
"""

Method = Literal[tuple(SCORES)]


class Coverage(NamedTuple):
    """The coverage and size of sets on labelled examples."""

    coverage: float  # share of sets that hold the label
    size: float  # mean number of classes in a set
    empty: float  # share of empty sets
    low: float  # `low` to `high`: the 95 % interval of the coverage on this many examples if the guarantee holds
    high: float


@dataclasses.dataclass(frozen=True)
class Conformal:
    """A fitted rule that turns probabilities into sets of classes; `strict_json.encode` converts it to JSON.

    Attributes:
      method: method of `conformity_scores`.
      error: share of labels that a set may miss.
      threshold: largest score that a class in a set may have.
      classes: number of classes.
      examples: number of examples of the calibration split.
      randomised: whether a random part of a class's probability is subtracted from its score.
      penalty: penalty of `raps`.
      rank: rank of `raps`.
    """

    method: Method
    error: float
    threshold: float
    classes: int
    examples: int
    randomised: bool = False
    penalty: float = 0.1
    rank: int = 1

    def __post_init__(self):
        strict_json.check(self)
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, found {self.threshold}")
        _order_statistic(self.examples, self.error)

    @classmethod
    def fit(
        cls,
        probs: np.ndarray,
        labels: np.ndarray,
        *,
        error: float = 0.1,
        method: Method = "lac",
        randomised: bool = True,
        penalty: float = 0.1,
        rank: int = 1,
        uniform: np.ndarray | None = None,
        seed: int = 0,
    ) -> "Conformal":
        """Fits the threshold on a split that neither trained the network nor fitted a calibration.

        Args:
          probs: probabilities `[n, k]`.
          labels: true classes `[n]`.
          error: share of labels that a set may miss.
          method: `lac` makes the smallest sets on average; `aps` makes sets that grow with the difficulty of the
            example; `raps` cuts the improbable classes off the sets of `aps`.
          randomised: whether `aps` and `raps` subtract a random part of a class's probability from its score, as in
            their papers. Without it sets are much larger.
          penalty: penalty of `raps` for every class beyond the `rank` most probable ones (default as in
            torch-uncertainty).
          rank: number of classes that `raps` does not penalise.
          uniform: u of `conformity_scores`, `[n]`, independent of the predictions, such as `image_draws`.
          seed: seed from which u is drawn if `uniform` is None.

        Raises:
          ValueError: the split is too small for the error (the message names the smallest size), or `probs` or
            `labels` are invalid.
        """
        probs = check_examples(probs)
        labels = check_labels(labels, probs)
        randomised = randomised and "uniform" in _parameters(method)
        uniform = _draw_uniform(len(probs), uniform, seed, 0) if randomised else None
        scores = conformity_scores(probs, method=method, uniform=uniform, penalty=penalty, rank=rank)
        threshold = conformal_threshold(np.take_along_axis(scores, labels[:, None], 1)[:, 0], error)
        return cls(method, float(error), threshold, probs.shape[1], len(probs), randomised, float(penalty), rank)

    def sets(
        self, probs: np.ndarray, *, nonempty: bool = False, uniform: np.ndarray | None = None, seed: int = 0
    ) -> np.ndarray:
        """Returns which classes are in the set of each example, bool `[n, k]`.

        Args:
          probs: probabilities `[n, k]`, computed in the same way as those of the fit.
          nonempty: whether every set holds the most probable class, as in torch-uncertainty. Coverage then rises above
            `1 - error` if some sets would be empty, which happens if `error` is larger than the network's error rate.
          uniform: u `[n]`, as in `fit`. Pass it if examples come one by one: otherwise each gets the first u.
          seed: seed from which u is drawn, in the order of the examples, if `uniform` is None.
        """
        probs = check_classes(probs, self.classes)
        uniform = _draw_uniform(len(probs), uniform, seed, 1) if self.randomised else None
        scores = conformity_scores(probs, method=self.method, uniform=uniform, penalty=self.penalty, rank=self.rank)
        inside = scores <= self.threshold + _SLACK
        if nonempty:
            np.put_along_axis(inside, probs.argmax(1)[:, None], True, 1)
        return inside

    def expected_coverage(self) -> tuple[float, float]:
        """Returns the 95 % interval of the coverage on infinitely many new examples, over calibration splits.

        It is that of Beta(n + 1 - l, l), see `coverage`.

        >>> [round(end, 3) for end in Conformal("lac", 0.1, threshold=0.9, classes=2, examples=99).expected_coverage()]
        [0.834, 0.95]
        """
        from scipy.stats import beta  # comes with scikit-learn

        missed = self.examples + 1 - _order_statistic(self.examples, self.error)
        low, high = beta(self.examples + 1 - missed, missed).ppf([0.025, 0.975])
        return float(low), float(high)

    def coverage(self, sets: np.ndarray, labels: np.ndarray) -> Coverage:
        """Measures sets on labelled examples, and the coverage that the size of the calibration split lets expect."""
        return coverage(sets, labels, error=self.error, examples=self.examples)


def conformity_scores(
    probs: np.ndarray,
    *,
    method: Method = "lac",
    uniform: np.ndarray | None = None,
    penalty: float = 0.1,
    rank: int = 1,
) -> np.ndarray:
    """Computes how badly each class fits each example.

    Args:
      probs: probabilities `[n, k]`; equally probable classes are sorted by their index.
      method: a name in `SCORES`: `lac`, `aps` or `raps`.
      uniform: u `[n]` in 0..1; None means 0, so that nothing is subtracted. MAPIE always calibrates with random u, and
        by default predicts with u = 1 (`include_last_label=True`), which makes sets larger than necessary.
      penalty: penalty of `raps`.
      rank: number of classes that `raps` does not penalise.

    Returns:
      Scores `[n, k]`.

    >>> conformity_scores(np.array([[0.2, 0.5, 0.3]]), method="aps").round(6).tolist()
    [[1.0, 0.5, 0.8]]
    """
    probs = check_examples(probs)
    options = {"uniform": uniform, "penalty": penalty, "rank": rank}
    parameters = _parameters(method)
    return SCORES[method](probs, **{name: value for name, value in options.items() if name in parameters})


def _parameters(method: str) -> set[str]:
    """Returns the names of a score function's parameters except `probs`; raises `ValueError` for an unknown method."""
    if method not in SCORES:
        *others, last = SCORES
        raise ValueError(f"method must be {', '.join(others)} or {last}, found {method!r}")
    return set(inspect.signature(SCORES[method]).parameters) - {"probs"}


def _draw_uniform(number: int, uniform: np.ndarray | None, seed: int, stream: int) -> np.ndarray:
    """Returns `uniform`, or draws it if it is None, from separate random streams for fitting and prediction."""
    return np.random.default_rng([seed, stream]).random(number) if uniform is None else uniform


def conformal_threshold(scores: np.ndarray, error: float) -> float:
    """Returns the `ceil((n + 1) (1 - error))`-th smallest of n scores: the quantile corrected for a finite sample.

    MAPIE computes the same. crepes accepts one more score if (n + 1) error is a whole number; torch-uncertainty
    interpolates at 1 - error without the correction.

    Args:
      scores: scores of the true classes, `[n]`.
      error: share of labels that a set may miss, in 0 < error < 1.

    Raises:
      ValueError: n is too small for the error.

    >>> conformal_threshold(np.arange(1.0, 20.0), 0.1)
    18.0
    """
    scores = check_numbers("scores", scores)
    return float(np.sort(scores)[_order_statistic(len(scores), error) - 1])


def coverage(sets: np.ndarray, labels: np.ndarray, *, error: float, examples: int) -> Coverage:
    """Measures sets on labelled examples, and the interval in which their coverage should lie.

    If no scores are equal, the coverage of m examples has a beta-binomial distribution with Beta(n + 1 - l, l) and
    `l = floor((n + 1) error)` (Vovk, Conditional validity of inductive conformal predictors, ACML 2012). It
    accounts for the chance in both the calibration split and the m examples. With equal scores, or without
    randomisation, the coverage may lie above the interval.

    Args:
      sets: bool `[m, k]`, true for the classes in each set.
      labels: true classes `[m]`.
      error: share of labels that a set may miss.
      examples: number n of examples of the calibration split.

    >>> coverage(np.array([[True, False], [True, True]]), np.array([1, 1]), error=0.1, examples=99)[:3]
    (0.5, 1.5, 0.0)
    """
    from scipy.stats import betabinom  # comes with scikit-learn

    sets = np.asarray(sets, bool)
    if sets.ndim != 2 or not len(sets):
        raise ValueError(f"sets must be [examples, classes] with one example or more, found the shape {sets.shape}")
    labels = check_labels(labels, sets)
    missed = examples + 1 - _order_statistic(examples, error)
    low, high = betabinom(len(sets), examples + 1 - missed, missed).ppf([0.025, 0.975]) / len(sets)
    hit = np.take_along_axis(sets, labels[:, None], 1)
    size = sets.sum(1)
    return Coverage(float(hit.mean()), float(size.mean()), float((size == 0).mean()), float(low), float(high))


def smallest_split(error: float) -> int:
    """Returns the smallest number of calibration examples for an error.

    >>> smallest_split(0.1)
    9
    """
    _check_error(error)
    return math.ceil(1 / error - 1 - 1e-9)


def _order_statistic(examples: int, error: float) -> int:
    """Returns the rank of the threshold among n sorted scores, counted from 1."""
    _check_error(error)
    place = math.ceil((examples + 1) * (1 - error) - 1e-9)  # 1 - 0.7 is stored as 0.30000000000000004
    if place > examples:
        raise ValueError(
            f"an error of {error} needs {smallest_split(error)} calibration examples or more, found {examples}; "
            f"for these the smallest error is 1/{examples + 1}"
        )
    return place


def _check_error(error: float) -> None:
    if not 0 < error < 1:
        raise ValueError(f"error must lie in 0 < error < 1, found {error}")
