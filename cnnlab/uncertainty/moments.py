"""Mean, variance and entropies of a random function, streamed: no sample is kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Moments(NamedTuple):
    """Over T samples of a dict of arrays.

    Attributes:
      mean: E[y] = 1/T sum f_t, structured as a sample.
      variance: 1/T sum f_t^2 - E[y]^2, likewise; accumulated as squared deviations, so never negative.
      expected_entropy: mean over samples of the entropy of `probs`, in nats (the aleatoric part); None without `probs`.
    """

    mean: Any
    variance: Any
    expected_entropy: jax.Array | None


def entropy(probs: jax.Array) -> jax.Array:
    """`-sum p log p` over the last axis, in nats; `0 log 0 = 0`.

    >>> round(float(entropy(jnp.array([0.5, 0.5]))), 4)
    0.6931
    """
    return jax.scipy.special.entr(probs).sum(-1)


def moments(sample: Callable[[jax.Array], Any], key: jax.Array, *, num_samples: int, chunk: int = 1) -> Moments:
    """Moments of `sample(fold_in(key, t))` for t = 0 .. num_samples - 1, whatever the chunk.

    Chunks are merged by Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.

    Args:
      sample: one draw, a pytree of arrays; in a dict, `probs` holds a distribution on its last axis.
      key: all randomness comes from it.
      num_samples: T.
      chunk: samples computed at a time, by `vmap`; memory grows with it.

    >>> got = moments(lambda key: {"x": jax.random.uniform(key)}, jax.random.key(0), num_samples=4, chunk=3)
    >>> draws = jnp.stack([jax.random.uniform(jax.random.fold_in(jax.random.key(0), t)) for t in range(4)])
    >>> bool(jnp.allclose(got.mean["x"], draws.mean()) and jnp.allclose(got.variance["x"], draws.var()))
    True
    """

    def with_entropy(place: jax.Array) -> tuple[Any, jax.Array]:
        out = sample(jax.random.fold_in(key, place))
        return out, entropy(out["probs"]) if has_probs(out) else jnp.zeros(())

    def add(carry, places: jax.Array):
        count, mean, deviation = carry
        used = (places < num_samples).astype(jnp.float32)  # the last chunk may be partly filled
        new = used.sum()
        values = jax.vmap(with_entropy)(places)
        new_mean = jax.tree.map(lambda leaf: _sum(used, leaf) / new, values)
        new_deviation = jax.tree.map(lambda leaf, m: _sum(used, (leaf - m) ** 2), values, new_mean)
        total = count + new
        shift = jax.tree.map(lambda a, b: b - a, mean, new_mean)
        mean = jax.tree.map(lambda a, s: a + s * (new / total), mean, shift)
        deviation = jax.tree.map(lambda a, b, s: a + b + s**2 * (count * new / total), deviation, new_deviation, shift)
        return (total, mean, deviation), None

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(with_entropy, jnp.int32(0)))
    places = jnp.arange(-(-num_samples // chunk) * chunk).reshape(-1, chunk)
    (total, (mean, expected), (deviation, _)), _ = jax.lax.scan(add, (jnp.float32(0), zeros, zeros), places)
    variance = jax.tree.map(lambda leaf: leaf / total, deviation)
    return Moments(mean, variance, expected if has_probs(mean) else None)


def has_probs(sample: Any) -> bool:
    """Whether a sample holds distributions by the name that says so."""
    return isinstance(sample, dict) and "probs" in sample


def _sum(weights: jax.Array, leaf: jax.Array) -> jax.Array:
    return jnp.tensordot(weights, leaf, 1)
