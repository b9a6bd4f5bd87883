"""Noisy linear imputation: missing pixels become weighted means of their neighbours, so that their shape is not seen.

A pixel that merely turns black shows the network where pixels are missing. This fills the hole smoothly instead.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def impute(x: jax.Array, missing: jax.Array, *, tolerance: float = 1e-5) -> jax.Array:
    """Replaces missing pixels by the weighted means of their 8 neighbours, missing neighbours included.

    The weights are 1/6 for the 4 nearest neighbours and 1/12 for the 4 diagonal ones; at the border they are scaled to
    sum to 1. The missing pixels are the unknowns of a sparse linear system, one for each channel. It is symmetric and
    positive definite, and conjugate gradients solve it for all images at once. Each image stops at its own tolerance,
    or after 8 (H + W) steps.

    Source: Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022.

    Args:
      x: `[..., H, W, C]`.
      missing: `[..., H, W]` bool; its leading axes broadcast with those of `x`.
      tolerance: largest norm of the residual, as a share of that of the right-hand side.

    Returns:
      `[..., H, W, C]`; an image without any known pixel becomes 0.

    >>> x = jnp.array([[[1.0], [9.0], [4.0]]])
    >>> impute(x, jnp.array([[False, True, False]]))[0, :, 0].tolist()
    [1.0, 2.5, 4.0]
    """
    missing = missing[..., None, :, :]
    planes = jnp.moveaxis(x, -1, -3)  # short channels as the last axis are slow on a CPU
    planes, unknown = jnp.broadcast_arrays(planes, missing)
    weights = _neighbours(jnp.ones(x.shape[-3:-1], x.dtype))

    def apply(u: jax.Array) -> jax.Array:
        return jnp.where(unknown, weights * u - _neighbours(u), 0)

    known = jnp.where(unknown, 0, planes)
    filled = _conjugate_gradients(apply, jnp.where(unknown, _neighbours(known), 0), tolerance)
    return jnp.moveaxis(known + filled, -3, -1)


def _neighbours(u: jax.Array) -> jax.Array:
    """Returns the weighted sum of the 8 neighbours of each pixel: [1 2 1] along both axes, less the pixel, over 12."""
    return (_spread(_spread(u, -1), -2) - 4 * u) / 12


def _spread(u: jax.Array, axis: int) -> jax.Array:
    size = u.shape[axis]
    padded = jnp.pad(u, [(int(i == axis % u.ndim),) * 2 for i in range(u.ndim)])
    before, after = (lax.slice_in_dim(padded, start, start + size, axis=axis) for start in (0, 2))
    return before + 2 * u + after


def _conjugate_gradients(apply: Callable[[jax.Array], jax.Array], b: jax.Array, tolerance: float) -> jax.Array:
    """Solves `apply(u) = b`, from 0, for each system `[C, H, W]` in the last three axes."""
    enough, most = tolerance**2 * _dot(b, b), 8 * sum(b.shape[-2:])

    def is_running(state: tuple) -> jax.Array:
        _, _, _, error, step = state
        return (step < most) & (error > enough).any()

    def iterate(state: tuple) -> tuple:
        u, residual, direction, error, step = state
        image = apply(direction)
        length = _ratio(error, _dot(direction, image), error > enough)
        u, residual = u + length * direction, residual - length * image
        after = _dot(residual, residual)
        direction = residual + _ratio(after, error, error > enough) * direction
        return u, residual, direction, after, step + 1

    return lax.while_loop(is_running, iterate, (jnp.zeros_like(b), b, b, _dot(b, b), 0))[0]


def _dot(u: jax.Array, v: jax.Array) -> jax.Array:
    return (u * v).sum((-3, -2, -1), keepdims=True)


def _ratio(above: jax.Array, below: jax.Array, where: jax.Array) -> jax.Array:
    """Divides where a system is not solved yet; 0 elsewhere leaves it as it is."""
    return jnp.where(where, above / jnp.where(where, below, 1), 0)
