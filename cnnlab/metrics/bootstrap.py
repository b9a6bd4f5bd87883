"""Bootstrap intervals: how much a score varies between samples of the same size."""

from collections.abc import Callable

import numpy as np


def bootstrap_interval(
    score: Callable[..., float], *rows: np.ndarray, level: float = 0.95, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Computes the basic bootstrap interval `2 s - q` of a score s over examples drawn with replacement.

    The interval reflects the quantiles q of the resampled scores at the score. If noise biases a score, as it does a
    calibration error, the resampled scores have this bias twice, and the reflection removes it. So the interval
    estimates the value for infinitely many examples, and the score itself may lie outside of it. An interval of plain
    quantiles would lie on the wrong side of a biased score.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2.

    Args:
      score: function of as many arrays as `rows` that returns a number.
      rows: arrays `[n, ...]` with one row per example.
      level: nominal share of samples whose interval contains the true value.
      draws: number of bootstrap samples.
      seed: seed of the random draws.

    >>> low, high = bootstrap_interval(np.mean, np.arange(100.0))
    >>> bool(low < 49.5 < high)
    True
    """
    check_draws(draws)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in 0 < level < 1, found {level}")
    generator = np.random.default_rng(seed)
    n = len(rows[0])
    scores = []
    for _ in range(draws):
        index = generator.integers(n, size=n)
        scores.append(score(*(array[index] for array in rows)))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    value = score(*rows)
    return float(2 * value - high), float(2 * value - low)


def check_draws(draws: int) -> None:
    """Raises a `ValueError` if the number of draws is below 1."""
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, found {draws}")
