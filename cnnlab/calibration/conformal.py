"""Conformal prediction: sets of classes that contain the true class with a chosen probability.

On a calibration split, each example's true class gets a score of how badly it fits; a set then holds the classes that
fit better than all but a share `error` of those. For examples drawn like the calibration split the guarantee is
`P(label in set) >= 1 - error`, over all draws of both (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
World, 2005). Probabilities averaged over passes of MC-Dropout do as well as any.
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

_SLACK = 1e-8  # rounding of cumulative sums; MAPIE's


def lac(probs: np.ndarray) -> np.ndarray:
    """Returns `1 - p`.

    Source: Sadinle, Lei and Wasserman, Least Ambiguous Set-Valued Classifiers With Bounded Error Levels, JASA 114,
    2019.
    """
    return 1 - probs


def aps(probs: np.ndarray, *, uniform: np.ndarray | None = None) -> np.ndarray:
    """Returns the probability of all classes down to this one, in falling order, less `u p`.

    One u an example as in the paper, crepes and MAPIE; torch-uncertainty draws one for every class of an example.

    Source: Romano, Sesia and Candès, Classification with Valid and Adaptive Coverage, NeurIPS 2020.
    """
    return _cumulated(probs, uniform, 0.0)


def raps(probs: np.ndarray, *, uniform: np.ndarray | None = None, penalty: float = 0.1, rank: int = 1) -> np.ndarray:
    """Returns `aps` plus `penalty * max(place - rank, 0)`, the most probable class at place 1.

    For calibration and prediction alike; MAPIE follows the paper's algorithm 3, which scales the penalty of the last
    class too.

    Source: Angelopoulos et al., Uncertainty Sets for Image Classifiers using Conformal Prediction, ICLR 2021.
    """
    if penalty < 0 or rank < 0:
        raise ValueError(f"penalty and rank must be 0 or more, found {penalty} and {rank}")
    return _cumulated(probs, uniform, penalty * np.maximum(np.arange(1, probs.shape[1] + 1) - rank, 0))


def _cumulated(probs: np.ndarray, uniform: np.ndarray | None, added: np.ndarray | float) -> np.ndarray:
    """Sums probabilities in falling order, minus `u p`, plus a penalty for each rank `[k]`."""
    order = np.argsort(-probs, axis=1, kind="stable")
    falling = np.take_along_axis(probs, order, 1)
    scores = falling.cumsum(1)
    if uniform is not None:
        uniform = check_unit("uniform", check_numbers("uniform", uniform))
        if len(uniform) != len(probs):
            raise ValueError(f"uniform must hold one number an example, {len(probs)}, found {len(uniform)}")
        scores -= uniform[:, None] * falling
    unsorted = np.empty_like(scores)
    np.put_along_axis(unsorted, order, scores + added, 1)
    return unsorted


SCORES: dict[str, Callable[..., np.ndarray]] = {"lac": lac, "aps": aps, "raps": raps}
"""Scores `[n, k]` by name: how badly each class fits. A function gets those of `uniform`, `penalty` and `rank` that it
takes; one that takes `uniform` is randomised."""

Method = Literal[tuple(SCORES)]


class Coverage(NamedTuple):
    """The coverage and size of sets on labelled examples."""

    coverage: float  # share of sets that hold the label
    size: float  # mean number of classes in a set
    empty: float  # share of sets without any
    low: float  # where the coverage of this many examples lies, 95 times in 100, if everything is in order
    high: float


@dataclasses.dataclass(frozen=True)
class Conformal:
    """A fitted rule for sets; its JSON is `strict_json.encode`'s.

    Attributes:
      method: method of `conformity_scores`.
      error: share of labels that a set may miss.
      threshold: the largest score in a set.
      classes: number of classes.
      examples: number of examples of the calibration split.
      randomised: whether the score of a class is lowered by a random part of its probability.
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
          probs: `[n, k]`.
          labels: `[n]`.
          error: share of labels that a set may miss.
          method: `lac`, the smallest sets on average; `aps`, sets that grow with difficulty; `raps`, those with their
            tail cut.
          randomised: for `aps` and `raps`, whether each score is lowered by a random part of its class's probability,
            as their papers have it. Without, sets are much larger.
          penalty: of `raps`, for every class beyond the `rank` most probable ones (defaults as in torch-uncertainty).
          rank: rank of `raps`.
          uniform: `[n]`, u of `conformity_scores`, drawn independently of the answers, such as `image_draws`.
          seed: seed of u, where none is given.

        Raises:
          ValueError: the split is too small for the error (the smallest that does is named), or no probabilities and
            labels.
        """
        probs = check_examples(probs)
        labels = check_labels(labels, probs)
        randomised = randomised and "uniform" in _options(method)
        uniform = _drawn(len(probs), uniform, seed, 0) if randomised else None
        scores = conformity_scores(probs, method=method, uniform=uniform, penalty=penalty, rank=rank)
        threshold = conformal_threshold(np.take_along_axis(scores, labels[:, None], 1)[:, 0], error)
        return cls(method, float(error), threshold, probs.shape[1], len(probs), randomised, float(penalty), rank)

    def sets(
        self, probs: np.ndarray, *, nonempty: bool = False, uniform: np.ndarray | None = None, seed: int = 0
    ) -> np.ndarray:
        """Returns which classes are in the set of each example, bool `[n, k]`.

        Args:
          probs: `[n, k]`, computed in the same way as those of the fit.
          nonempty: whether every set holds the most probable class, as torch-uncertainty's do; coverage rises above
            `1 - error` where sets would be empty: for errors larger than the network's own.
          uniform: `[n]`, as in `fit`. For examples that come one by one give it: without, each would be the first.
          seed: seed of u, where none is given: one an example, by its place.
        """
        probs = check_classes(probs, self.classes)
        uniform = _drawn(len(probs), uniform, seed, 1) if self.randomised else None
        scores = conformity_scores(probs, method=self.method, uniform=uniform, penalty=self.penalty, rank=self.rank)
        inside = scores <= self.threshold + _SLACK
        if nonempty:
            np.put_along_axis(inside, probs.argmax(1)[:, None], True, 1)
        return inside

    def coverage(self, sets: np.ndarray, labels: np.ndarray) -> Coverage:
        """Measures sets on labelled examples, and the coverage to expect from the size of the calibration split."""
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
      probs: `[n, k]`; of equally probable classes the first comes first.
      method: a name in `SCORES`: `lac`, `aps` or `raps`.
      uniform: `[n]`, u in 0..1; None is 0, the score that is never lowered. MAPIE calibrates with random u whatever is
        asked for, and predicts with u = 1 by default (`include_last_label=True`): larger sets than needed.
      penalty: penalty of `raps`.
      rank: rank of `raps`.

    Returns:
      `[n, k]`.

    >>> conformity_scores(np.array([[0.2, 0.5, 0.3]]), method="aps").round(6).tolist()
    [[1.0, 0.5, 0.8]]
    """
    probs = check_examples(probs)
    given = {"uniform": uniform, "penalty": penalty, "rank": rank}
    taken = _options(method)
    return SCORES[method](probs, **{name: value for name, value in given.items() if name in taken})


def _options(method: str) -> set[str]:
    """Returns the further arguments of a score; raises `ValueError` for an unknown name."""
    if method not in SCORES:
        *others, last = SCORES
        raise ValueError(f"method must be {', '.join(others)} or {last}, found {method!r}")
    return set(inspect.signature(SCORES[method]).parameters) - {"probs"}


def _drawn(number: int, uniform: np.ndarray | None, seed: int, stream: int) -> np.ndarray:
    """Draws u for each example, with separate random streams for fitting and prediction."""
    return np.random.default_rng([seed, stream]).random(number) if uniform is None else uniform


def conformal_threshold(scores: np.ndarray, error: float) -> float:
    """Returns the `ceil((n + 1) (1 - error))`-th smallest of n scores: the quantile corrected for a finite sample.

    As in MAPIE; crepes accepts one score more where (n + 1) error is a whole number; torch-uncertainty interpolates at
    1 - error without the correction.

    Args:
      scores: `[n]`, of the true classes.
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

    For scores without ties the coverage of m examples is beta-binomial with `l = floor((n + 1) error)`, Beta(n + 1 - l,
    l) (Vovk, Conditional validity of inductive conformal predictors, ACML 2012): the calibration split's chance and
    that of the m examples. Ties and sets without randomisation may lie above.

    Args:
      sets: bool `[m, k]`.
      labels: `[m]`.
      error: share of labels that a set may miss.
      examples: n of the calibration split.

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
            f"with them 1/{examples + 1} is the smallest"
        )
    return place


def _check_error(error: float) -> None:
    if not 0 < error < 1:
        raise ValueError(f"error must lie in 0 < error < 1, found {error}")
