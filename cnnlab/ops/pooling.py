"""Pooling over windows of any size, stride and padding."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from cnnlab.kernels import dispatch
from cnnlab.ops.windows import Padding, Sizes, floating, place_windows, window_axes


def max_pool(
    x: ArrayLike, window: Sequence[int] = (2, 2), *, stride: Sizes | None = None, padding: Padding = "valid"
) -> jax.Array:
    """Computes the maximum over every window; padding never wins. A remainder smaller than the window is dropped.

    Of equal maxima in a window the first one, row by row, takes the whole gradient, as in PyTorch.

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
    """Computes the mean over every window. A remainder smaller than the window is dropped.

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
    pads = (*none, *places.pads, (0, 0))
    if join is lax.max:
        return dispatch.maximum(x, shape, strides, pads)
    return lax.reduce_window(x, start, join, shape, strides, pads)


def adaptive_average_pool(x: ArrayLike, size: tuple[int, int]) -> jax.Array:
    """Means over windows that divide any input into so many rows and columns, as PyTorch places them.

    Window i of n spans the pixels ⌊i H / n⌋ to ⌈(i + 1) H / n⌉ - 1; neighbours overlap where n does not divide H.

    Args:
      x: `[..., H, W, C]`.
      size: rows and columns of the output.

    Returns:
      `[..., *size, C]`.

    >>> adaptive_average_pool(jnp.arange(3.0).reshape(1, 3, 1), (1, 2)).ravel().tolist()
    [0.5, 1.5]
    """
    (x,) = floating(x)
    if min(size) < 1:
        raise ValueError(f"size must be 1 or more in both axes, found {size}")
    if x.shape[-3:-1] == tuple(size):
        return x
    rows, columns = (_shares(n, m) for n, m in zip(x.shape[-3:-1], size, strict=True))
    return jnp.einsum("ih,...hwc,jw->...ijc", rows, x, columns, precision=lax.Precision.HIGHEST).astype(x.dtype)


def _shares(pixels: int, places: int) -> np.ndarray:
    """Returns each pixel's share of the mean of window i, as row i."""
    i, pixel = np.arange(places)[:, None], np.arange(pixels)
    inside = (pixel >= i * pixels // places) & (pixel < -(-(i + 1) * pixels // places))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
