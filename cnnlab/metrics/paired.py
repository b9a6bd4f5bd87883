"""Comparison of two models on the same examples: bootstrap intervals of differences, and McNemar's test."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cnnlab.metrics.bootstrap import check_draws

Rows = Mapping[str, np.ndarray]


class Difference(NamedTuple):
    """The difference between the scores of two models, the second one minus the first.

    Attributes:
      value: difference over all examples.
      low: lower end of its interval.
      high: upper end of its interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Returns whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def bootstrap_differences(
    scores: Callable[[Rows], Mapping[str, float]],
    first: Rows,
    second: Rows,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Computes the differences of scores and their paired bootstrap intervals.

    Each draw takes the same examples for both models, so that examples that are hard for both do not widen the
    interval. The interval is the basic one of `bootstrap_interval`.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2.

    Args:
      scores: function of rows `[n, ...]` that returns a number for each score.
      first: rows of the first model, one per example.
      second: rows of the second model for the same examples.
      level: nominal share of samples whose interval contains the true difference.
      draws: number of bootstrap samples.
      seed: seed of the random draws.

    Returns:
      The scores that both models have, in the order of the first. A score that a draw cannot compute, such as the AUROC
      of errors in a draw without errors, has an interval over the other draws.

    >>> first, second = {"x": np.zeros(50)}, {"x": np.ones(50)}
    >>> bootstrap_differences(lambda rows: {"mean": rows["x"].mean()}, first, second, draws=20)["mean"]
    Difference(value=1.0, low=1.0, high=1.0)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in 0 < level < 1, found {level}")
    values = [_subtract(scores(first), scores(second))]
    values += [_subtract(scores(a), scores(b)) for a, b in resamples(first, second, draws=draws, seed=seed)]
    out = {}
    for name, value in values[0].items():
        drawn = np.array([each.get(name, np.nan) for each in values[1:]])
        low, high = (
            np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if np.isfinite(drawn).any() else (np.nan,) * 2
        )
        out[name] = Difference(value, float(2 * value - high), float(2 * value - low))
    return out


def resamples(first: Rows, second: Rows, *, draws: int, seed: int = 0) -> Iterator[tuple[Rows, Rows]]:
    """Yields the rows of both models for examples that are drawn with replacement, the same ones for both.

    Raises:
      ValueError: the models have different numbers of examples, or `draws` is below 1.
    """
    check_draws(draws)
    lengths = {len(column) for rows in (first, second) for column in rows.values()}
    if len(lengths) != 1:
        raise ValueError(f"both models need rows for the same examples, found {sorted(lengths)} rows")
    (n,), generator = lengths, np.random.default_rng(seed)
    for _ in range(draws):
        index = generator.integers(n, size=n)
        yield tuple({name: column[index] for name, column in rows.items()} for rows in (first, second))


def _subtract(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {name: float(second[name]) - float(value) for name, value in first.items() if name in second}


class McNemar(NamedTuple):
    """McNemar's exact test of two classifiers on the same examples.

    Attributes:
      first_only: number of examples that only the first classifier gets right.
      second_only: number of examples that only the second classifier gets right.
      p_value: probability of so unequal numbers if both classifiers were equally good.
    """

    first_only: int
    second_only: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Computes McNemar's exact test: under equal error rates each disagreement favours either classifier equally.

    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947;
    the exact form is the two-sided binomial test.

    Args:
      first: `[n]` bool, whether the first classifier is right.
      second: `[n]` bool, whether the second classifier is right for the same examples.

    >>> mcnemar(np.array([True, True, True, False]), np.array([False, False, False, False])).p_value
    0.25
    """
    from scipy.stats import binomtest

    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"first and second must be lists of one length, found {first.shape} and {second.shape}")
    only = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(*only, float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0)
