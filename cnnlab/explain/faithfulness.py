"""Scores of whether a map shows what the target depends on: change the image where the map says, and read the target.

Each function takes `value`, which computes the target of K versions of a batch, `[K, B, H, W, C]` -> `[K, B]`; the
normalised images `x [B, H, W, C]`; and K maps of each image, `[K, B, H, W]`. Each returns scores `[K, B]`. The most
important pixel has the largest value of a map. Memory holds K versions of the batch at a time.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnlab.explain.imputation import impute
from cnnlab.ops.filters import apply_filter, gaussian

Value = Callable[[jax.Array], jax.Array]

BLUR = gaussian(11, sigma=5)
"""Kernel of the blurred image that an insertion starts from, as in the paper's code."""


def deletion(
    value: Value, x: jax.Array, maps: jax.Array, *, steps: int = 16, baseline: jax.Array | float = 0.0
) -> jax.Array:
    """Computes the area under the target while pixels are removed, the most important one first; small is good.

    Source: Petsiuk et al., RISE, BMVC 2018.

    Args:
      value: function that computes the target.
      x: normalised images.
      maps: maps; equal values are removed in the order of rows and columns.
      steps: number of parts, equal up to one pixel; the trapezoids between them make the area.
      baseline: what replaces a pixel: a number, or one a channel `[C]`. 0 is the mean of the training images where
        these are normalised by their mean.

    >>> x, weights = jnp.ones((1, 1, 2, 1)), jnp.array([3.0, 1.0])
    >>> value = lambda x: x[..., 0, :, 0] @ weights
    >>> maps = jnp.array([[[[3.0, 1.0]]], [[[1.0, 3.0]]]])  # the true map, and the wrong one
    >>> deletion(value, x, maps, steps=2)[:, 0].tolist()
    [1.5, 2.5]
    """
    return area(value, x, jnp.broadcast_to(jnp.asarray(baseline, x.dtype), x.shape), maps, steps=steps)


def insertion(value: Value, x: jax.Array, maps: jax.Array, *, steps: int = 16) -> jax.Array:
    """Computes the area under the target while pixels of a blurred image become sharp; large is good.

    The blur is a Gaussian of 11 x 11 pixels and standard deviation 5; the image's border is repeated.

    Source: Petsiuk et al., RISE, BMVC 2018.

    The arguments are those of `deletion`.
    """
    return area(value, blurred(x), x, maps, steps=steps)


def blurred(x: jax.Array) -> jax.Array:
    """Returns the blurred images that an insertion starts from."""
    return apply_filter(x, BLUR)


def area(value: Value, start: jax.Array, end: jax.Array, maps: jax.Array, *, steps: int = 16) -> jax.Array:
    """Computes the area under the target while pixels change from `start` to `end`, the most important one first."""
    ranks, pixels = _ranks(maps), maps.shape[-2] * maps.shape[-1]
    counts = np.linspace(0, pixels, steps + 1).round().astype(np.int32)
    curve = lax.map(lambda count: value(jnp.where((ranks < count)[..., None], end, start)), jnp.asarray(counts))
    return jnp.trapezoid(curve, jnp.asarray(counts / pixels, curve.dtype), axis=0)


def road(
    value: Value,
    x: jax.Array,
    maps: jax.Array,
    keys: jax.Array,
    *,
    percentiles: Sequence[int] = (20, 40, 60, 80),
    noise: float = 0.01,
) -> jax.Array:
    """Computes how much more the target falls without the most important pixels than without the least important ones.

    The removed pixels are imputed (see `impute`), with noise. The score is the mean over percentiles of half the
    difference between the target without the least and without the most important pixels; large is good, and a
    constant map scores 0.

    Source: Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022; the two
    curves are combined as in pytorch-grad-cam's `ROADCombined`.

    Args:
      value: function that computes the target.
      x: normalised images.
      maps: maps.
      keys: `[B]`, random keys of the noise.
      percentiles: each keeps the pixels below this percentile of a map, and removes the others.
      noise: standard deviation of the noise, in units of `x`.
    """
    pixels = x.shape[1] * x.shape[2]
    counts = [pixels + -(pixels - 1) * percentile // 100 for percentile in percentiles]
    noises = noise * jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)

    def without(ranks: jax.Array, count: jax.Array) -> jax.Array:
        removed = ranks < count
        return value(impute(x, removed) + jnp.where(removed[..., None], noises, 0))

    orders = jnp.stack([_ranks(-maps), _ranks(maps)])
    values = lax.map(lambda ranks: lax.map(lambda count: without(ranks, count), jnp.asarray(counts)), orders)
    least, most = values.mean(1)
    return (least - most) / 2


def infidelity(
    value: Value, x: jax.Array, maps: jax.Array, keys: jax.Array, *, samples: int = 32, deviation: float = 0.1
) -> jax.Array:
    """Computes the mean squared error of a map that predicts how noise changes the target; small is good.

    For noise I, the map predicts that the target falls by `beta sum(map I)`. The factor `beta` is the best one for each
    map, so its scale does not matter. The noise is Gaussian and the same in all channels of a pixel, because a map has
    one value for each pixel.

    Source: Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition 2.1; the factor is
    that of the authors' code.

    Args:
      value: function that computes the target.
      x: normalised images.
      maps: maps.
      keys: `[B]`, random keys of the noise.
      samples: number of noises.
      deviation: standard deviation of the noise, in units of `x`.
    """
    maps = maps / scale_of(maps)

    def perturb(sample: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, sample), x.shape[1:3], x.dtype))(keys)
        noise = jnp.where(sample > 0, deviation * noise, 0)  # sample 0 is the image itself
        return value((x - noise[..., None])[None]), (maps * noise).sum((-2, -1))

    values, products = lax.map(perturb, jnp.arange(samples + 1))  # [samples + 1, 1, B], [samples + 1, K, B]
    changes, products = values[0] - values[1:], products[1:]
    squares = (products**2).sum(0)
    beta = (products * changes).sum(0) / jnp.where(squares > 0, squares, 1)
    return ((beta * products - changes) ** 2).mean(0)


def scale_of(maps: jax.Array) -> jax.Array:
    """Returns the largest absolute value of each map `[..., H, W]` as `[..., 1, 1]`; 1 for a map of zeros.

    The squares of a map that is divided by it do not underflow.
    """
    largest = jnp.abs(maps).max((-2, -1), keepdims=True)
    return jnp.where(largest > 0, largest, 1)


def _ranks(maps: jax.Array) -> jax.Array:
    """Returns each pixel's place in the order of a map, 0 for the largest value; the first of equal pixels is first."""
    flat = maps.reshape(*maps.shape[:-2], -1)
    return jnp.argsort(jnp.argsort(-flat, stable=True), stable=True).reshape(maps.shape)
