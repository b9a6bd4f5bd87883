"""Pooling as it is defined: windows of any size, stride and padding. `lowering.max_pool` is the fast common case."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from cnnlab.ops.windows import Padding, Sizes, floating, place_windows, window_axes


def max_pool(
    x: ArrayLike, window: Sequence[int], *, stride: Sizes | None = None, padding: Padding = "valid"
) -> jax.Array:
    """Maximum over every window; padding never wins. A remainder smaller than the window is dropped.

    Args:
      x: `[..., W, C]` or `[..., H, W, C]`, as the window says.
      window: `(w,)` or `(h, w)` in pixels.
      stride: pixels from one window to the next; the window's size if left out.
      padding: as in `cross_correlate`, less than the window.

    Returns:
      The same axes; sizes by `arithmetic.output_size`.

    Raises:
      ValueError: a window larger than its padded input, or one that could lie in the padding alone.

    >>> max_pool(jnp.arange(6.0)[:, None], (3,), stride=2).ravel().tolist()
    [2.0, 4.0]
    """
    return _pool(x, window, stride, padding, lax.max, -jnp.inf)


def average_pool(
    x: ArrayLike,
    window: Sequence[int],
    *,
    stride: Sizes | None = None,
    padding: Padding = "valid",
    count_padding: bool = False,
) -> jax.Array:
    """Mean over every window. A remainder smaller than the window is dropped.

    Args:
      x, window, stride, padding: as in `max_pool`.
      count_padding: padding counts as zeros; otherwise only the input's own pixels are averaged.

    >>> average_pool(jnp.arange(6.0)[:, None], (3,), stride=2, padding=1).ravel().tolist()
    [0.5, 2.0, 4.0]
    """
    (x,) = floating(x)
    total = _pool(x, window, stride, padding, lax.add, 0.0)
    if count_padding:
        return total / math.prod(window)
    one = jnp.ones((*x.shape[-len(window) - 1 : -1], 1), x.dtype)
    return total / _pool(one, window, stride, padding, lax.add, 0.0)


def _pool(
    x: ArrayLike, window: Sequence[int], stride: Sizes | None, padding: Padding, join: Callable, start: float
) -> jax.Array:
    (x,) = floating(x)
    axes = window_axes(x, window)
    lead = x.ndim - axes - 1
    places = place_windows(x.shape[lead:-1], window, stride=window if stride is None else stride, padding=padding)
    for side, pads in zip(window, places.pads, strict=True):
        if max(pads) >= side:
            raise ValueError(f"padding must be less than the window {tuple(window)}, found {places.pads}")
    ones, none = (1,) * lead, ((0, 0),) * lead
    shape, strides = (*ones, *window, 1), (*ones, *places.stride, 1)
    return lax.reduce_window(x, start, join, shape, strides, (*none, *places.pads, (0, 0)))
