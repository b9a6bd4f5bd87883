"""Reads a verdict: which maps are better than a random map and an edge detector, and which ones are flagged."""

import functools
import operator
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from cnnlab.explain.scores import BASELINES, SCORES, names_of
from cnnlab.runtime.compile import jit


def beats(verdict: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns whether each map is better than both baselines, for each score of a verdict.

    The baselines are a random map and an edge detector. Neither depends on the network, so two scores have their own
    rule. On `max_sensitivity` a map must beat the random map only, because edges hardly change under noise. On
    `randomisation` it must be nearer to the random map's correlation, about 0, than to the edges', which is 1.

    Returns:
      Name of a score to `[B]` bool.

    >>> verdict = {"road": jnp.array([0.5, 0.5]), "random/road": jnp.zeros(2), "edges/road": jnp.array([0.4, 0.5])}
    >>> beats(verdict)["road"].tolist()
    [True, False]
    """
    return {name: score.beats(*_goodness(verdict, name)) for name, score in SCORES.items() if name in verdict}


def flagged(verdict: Mapping[str, jax.Array]) -> jax.Array:
    """Returns whether each map beats neither the random map nor the edge detector.

    A map beats a baseline if it is better on more than half of the faithfulness scores (deletion, insertion, road and
    infidelity) that the verdict holds.

    Returns:
      `[B]` bool.

    Raises:
      ValueError: the verdict holds no faithfulness score.

    >>> verdict = {"road": jnp.array([0.5, 0.1]), "random/road": jnp.zeros(2) + 0.2, "edges/road": jnp.ones(2)}
    >>> flagged(verdict).tolist()
    [False, True]
    """
    return ~functools.reduce(operator.or_, beaten_baselines(verdict).values())


def flags(verdict: Mapping[str, jax.Array] | None) -> jax.Array | None:
    """Returns what `flagged` does, or None for a verdict without a faithfulness score."""
    has_any = any(score.is_faithfulness and name in (verdict or {}) for name, score in SCORES.items())
    return flagged(verdict) if has_any else None


def beaten_baselines(verdict: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns whether each map beats the random map and the edge detector, by the rule of `flagged`.

    Returns:
      Name of a baseline to `[B]` bool.

    Raises:
      ValueError: the verdict holds no faithfulness score.
    """
    faithful = [name for name, score in SCORES.items() if score.is_faithfulness]
    names = [name for name in faithful if name in verdict]
    if not names:
        raise ValueError(f"a verdict flags maps by {', '.join(faithful)}, found {', '.join(verdict) or 'no score'}")
    return dict(zip(BASELINES, _wins(dict(verdict), tuple(names)), strict=True))


@jit(static_argnames="names")
def _wins(verdict: dict[str, jax.Array], names: tuple[str, ...]) -> list[jax.Array]:
    """Returns whether each map is better than each baseline on more than half of the named scores."""
    own, *others = jnp.stack([_goodness(verdict, name) for name in names], 1)
    return [2 * (own > each).sum(0) > len(names) for each in others]


def _goodness(verdict: Mapping[str, jax.Array], name: str) -> jax.Array:
    """Returns a score of the map and of both baselines, `[3, B]`, with a sign so that larger is better."""
    values = jnp.stack([verdict[each] for each in names_of(name)])
    return values if SCORES[name].higher_is_better else -values
