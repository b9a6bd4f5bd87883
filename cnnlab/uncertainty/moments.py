"""Mean, variance and entropies of a random function, computed in a stream without storing the samples."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy


class Moments(NamedTuple):
    """Moments over T samples of a pytree of arrays.

    Attributes:
      mean: E[y] = 1/T sum f_t, structured as a sample.
      variance: 1/T sum f_t^2 - E[y]^2, structured as a sample; accumulated as squared deviations, so never negative.
      expected_entropy: mean over samples of the entropy of `probs`, in nats (the aleatoric part); None without `probs`.
      votes: share of samples in which each class of `probs` is the most probable; None without `probs`.
      count: T.
      samples: all samples, `[T, ...]`; None unless requested.
    """

    mean: Any
    variance: Any
    expected_entropy: jax.Array | None
    votes: jax.Array | None
    count: jax.Array
    samples: Any = None


def entropy(probs: jax.Array) -> jax.Array:
    """Computes `-sum p log p` over the last axis, in nats; `0 log 0 = 0`. NumPy arrays give NumPy arrays.

    >>> round(float(entropy(jnp.array([0.5, 0.5]))), 4)
    0.6931
    """
    entr = scipy.special.entr if isinstance(probs, np.ndarray) else jax.scipy.special.entr
    return entr(probs).sum(-1)


def mutual_information(total: jax.Array, expected: jax.Array) -> jax.Array:
    """Computes the entropy of the mean minus the mean entropy, in nats, which measures how much passes disagree.

    It is never negative (Jensen's inequality); small negative values from rounding become 0.
    """
    xp = np if isinstance(total, np.ndarray) else jnp
    return xp.maximum(total - expected, 0)


def moments(
    sample: Callable[[jax.Array], Any],
    key: jax.Array,
    *,
    num_samples: int,
    chunk: int = 1,
    tolerance: float | None = None,
    unit: Any = None,
    block: int = 10,
    keep: bool = False,
) -> Moments:
    """Computes the moments of `sample(fold_in(key, t))` for t = 0, 1, ...; they do not depend on the chunk.

    Chunks are merged as in Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.

    Args:
      sample: function from a key to one sample, a pytree of arrays; in a dict, `probs` holds a distribution on its last
        axis.
      key: source of all randomness.
      num_samples: number of samples T; with a tolerance, the largest number.
      chunk: number of samples computed at a time, by `vmap`; memory grows with it.
      tolerance: stop after the first block at which the standard error of every mean of `probs` (without `probs`, of
        every mean) is at most this.
      unit: units of these standard errors if a sample has no `probs`: a pytree like a sample, whose arrays broadcast to
        the sample's; 1 by default.
      block: number of samples between two checks of the standard error.
      keep: whether to return the samples too; not possible with a tolerance.

    >>> got = moments(lambda key: {"x": jax.random.uniform(key)}, jax.random.key(0), num_samples=4, chunk=3)
    >>> draws = jnp.stack([jax.random.uniform(jax.random.fold_in(jax.random.key(0), t)) for t in range(4)])
    >>> bool(jnp.allclose(got.mean["x"], draws.mean()) and jnp.allclose(got.variance["x"], draws.var()))
    True
    """
    if min(num_samples, chunk) < 1:
        raise ValueError(f"num_samples and chunk must be 1 or more, found {num_samples} and {chunk}")

    def draw(place: jax.Array) -> tuple[Any, Any]:
        out = sample(jax.random.fold_in(key, place))
        return out, _of_probs(out)

    def add(carry: _Sums, places: jax.Array, end: jax.Array) -> tuple[_Sums, Any]:
        used = (places < end).astype(jnp.float32)  # the last chunk may be only partly filled
        values, others = jax.vmap(draw)(places)
        new, total = used.sum(), carry.count + used.sum()
        new_mean = jax.tree.map(lambda leaf: _sum(used, leaf) / new, values)
        within = jax.tree.map(lambda leaf, mean: _sum(used, (leaf - mean) ** 2), values, new_mean)
        shift = jax.tree.map(jnp.subtract, new_mean, carry.mean)
        mean = jax.tree.map(lambda a, s: a + s * (new / total), carry.mean, shift)
        between = jax.tree.map(lambda s: s**2 * (carry.count * new / total), shift)
        deviation = jax.tree.map(lambda a, b, c: a + b + c, carry.deviation, within, between)
        others = jax.tree.map(lambda a, leaf: a + _sum(used, leaf), carry.others, others)
        return _Sums(total, mean, deviation, others), values if keep else None

    def extend(carry: _Sums, number: int) -> tuple[_Sums, Any]:
        start = carry.count.astype(jnp.int32)
        places = start + jnp.arange(-(-number // size) * size, dtype=jnp.int32).reshape(-1, size)
        return jax.lax.scan(lambda c, p: add(c, p, start + number), carry, places)

    values, others = (_zeros(shapes) for shapes in jax.eval_shape(draw, jnp.int32(0)))
    sums, samples = _Sums(jnp.float32(0), values, values, others), None
    if tolerance is None:
        size = _even(num_samples, chunk)
        sums, samples = extend(sums, num_samples)
    else:
        if keep:
            raise ValueError(
                "samples are not returned with a tolerance, as their number is unknown; give num_samples a number"
            )
        block = min(block, num_samples)
        size = _even(block, chunk)
        sums = jax.lax.while_loop(
            lambda c: (c.count + block <= num_samples) & ((c.count == 0) | (_largest_error(c, unit) > tolerance)),
            lambda c: extend(c, block)[0],
            sums,
        )
    variance, others = jax.tree.map(lambda leaf: leaf / sums.count, (sums.deviation, sums.others))
    if keep:
        samples = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_samples], samples)
    return Moments(sums.mean, variance, *others, sums.count.astype(jnp.int32), samples)


def stacked_moments(samples: Any) -> Moments:
    """Computes the moments of stored samples `[T, ...]`, such as those of an ensemble's members.

    >>> stacked_moments(jnp.array([[1.0], [3.0]])).variance.tolist()
    [1.0]
    """
    mean = jax.tree.map(lambda leaf: leaf.mean(0), samples)
    variance = jax.tree.map(lambda leaf, mean: mean_over(lambda x: (x - mean) ** 2, leaf), samples, mean)
    others = (None, None)
    if has_probs(samples):
        others = (mean_over(function, samples["probs"]) for function in (entropy, vote))
    return Moments(mean, variance, *others, jnp.int32(len(jax.tree.leaves(samples)[0])), samples)


def mean_over(function: Callable, samples: jax.Array) -> jax.Array:
    """Computes the mean of a function over samples `[T, ...]`.

    NumPy arrays are processed one sample at a time, because temporaries of all samples would double the memory.
    """
    if not isinstance(samples, np.ndarray):
        return function(samples).mean(0)
    total = function(samples[0])
    for sample in samples[1:]:
        total += function(sample)
    return total / len(samples)


def _even(number: int, most: int) -> int:
    """Returns the size of equal chunks of at most `most`: 50 samples by 34 become two chunks of 25, without padding."""
    return -(-number // -(-number // most))


class _Sums(NamedTuple):
    count: jax.Array
    mean: Any
    deviation: Any  # sum of squared deviations from the mean
    others: Any  # sums of quantities of which only the mean is reported


def _of_probs(sample: Any) -> tuple[jax.Array | None, jax.Array | None]:
    """Returns the entropy of each distribution in `probs` and its vote for a class; None without `probs`."""
    if not has_probs(sample):
        return None, None
    return entropy(sample["probs"]), vote(sample["probs"])


def vote(probs: jax.Array) -> jax.Array:
    """Returns a vote of 1 for the most probable class of each distribution, shaped like `probs`."""
    return jax.nn.one_hot(probs.argmax(-1), probs.shape[-1])


def has_probs(sample: Any) -> bool:
    """Returns whether a sample is a dict with distributions named `probs`."""
    return isinstance(sample, dict) and "probs" in sample


def standard_errors(deviation: Any, count: jax.Array, unit: Any = None) -> list[jax.Array]:
    """Computes the standard errors of the means, sqrt(deviation / (T - 1) / T), one array per array of a sample.

    With `probs`, only their standard errors are returned. They count one more pass that differs by 1/2, because a few
    passes that agree by chance are no certainty.

    Args:
      deviation: sums of squared deviations from the mean, structured as a sample.
      count: number of samples T.
      unit: units of the standard errors, as in `moments`.
    """
    if has_probs(deviation):
        return [jnp.sqrt((deviation["probs"] + 0.25) / (count * (count + 1)))]
    if unit is not None:
        deviation = jax.tree.map(lambda d, u: d / u**2, deviation, unit)
    return [jnp.sqrt(leaf / (count * jnp.maximum(count - 1, 1))) for leaf in jax.tree.leaves(deviation)]


def _largest_error(sums: _Sums, unit: Any) -> jax.Array:
    return jnp.stack([leaf.max() for leaf in standard_errors(sums.deviation, sums.count, unit)]).max()


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _sum(weights: jax.Array, leaf: jax.Array) -> jax.Array:
    """Computes the weighted sum over the first axis, of many entries as a sum of partial sums, which rounds less."""
    while len(weights) > _PART:
        rest = -len(weights) % _PART
        weights = jnp.pad(weights, (0, rest)).reshape(-1, _PART)
        leaf = jnp.pad(leaf, [(0, rest)] + [(0, 0)] * (leaf.ndim - 1)).reshape(-1, _PART, *leaf.shape[1:])
        leaf = jnp.einsum("pi,pi...->p...", weights, leaf, precision=jax.lax.Precision.HIGHEST)
        weights = jnp.ones(len(leaf), leaf.dtype)
    return jnp.tensordot(weights, leaf, 1, precision=jax.lax.Precision.HIGHEST)


_PART = 32  # terms that are added one after the other
