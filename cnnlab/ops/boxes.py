"""Boxes `[..., 4]` as xyxy in pixels, continuous coordinates."""

import jax
import jax.numpy as jnp
import numpy as np


def iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Intersection over union of every box of `a` with every box of `b`; 0 where both areas are 0.

    Args:
      a: `[..., n, 4]`, JAX or NumPy; the result is of the same kind.
      b: `[..., m, 4]`.

    Returns:
      `[..., n, m]`.

    >>> iou(np.array([[0.0, 0, 100, 100]]), np.array([[0.0, 0, 50, 50]])).tolist()
    [[0.25]]
    """
    xp = np if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else jnp
    a, b = a[..., :, None, :], b[..., None, :, :]
    low = xp.maximum(a[..., :2], b[..., :2])
    high = xp.minimum(a[..., 2:], b[..., 2:])
    overlap = xp.maximum(high - low, 0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    return overlap / xp.where(area > 0, area, 1)
