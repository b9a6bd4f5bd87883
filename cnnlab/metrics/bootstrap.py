"""Bootstrap intervals: how much a score varies between samples of this size."""

from collections.abc import Callable

import numpy as np


def bootstrap_interval(
    score: Callable[..., float], *rows: np.ndarray, level: float = 0.95, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Computes the basic bootstrap interval `2 s - q` of a score s over examples drawn with replacement.

    Quantiles q of the redrawn scores are reflected at the score: what noise adds to the score once it adds to the
    redrawn ones twice, and the reflection takes it out again. So the interval holds the value that infinitely many
    examples would give, and may lie beside the score where that is biased, as a calibration error is: there the
    interval of the plain quantiles lies on the wrong side.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2.

    Args:
      score: a number from as many arrays as `rows`.
      rows: arrays `[n, ...]`; one example has one row in each.
      level: share of samples whose interval holds the true value, to be hoped for.
      draws: samples drawn.
      seed: seed of the draws.

    >>> low, high = bootstrap_interval(np.mean, np.arange(100.0))
    >>> bool(low < 49.5 < high)
    True
    """
    check_draws(draws)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in 0 < level < 1, found {level}")
    generator = np.random.default_rng(seed)
    n = len(rows[0])
    drawn = []
    for _ in range(draws):
        index = generator.integers(n, size=n)
        drawn.append(score(*(array[index] for array in rows)))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    value = score(*rows)
    return float(2 * value - high), float(2 * value - low)


def check_draws(draws: int) -> None:
    """Raises a `ValueError` where nothing is drawn."""
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, found {draws}")
