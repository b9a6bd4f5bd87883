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
    """Computes the maximum over each window.

    Padding is never the maximum. Pixels at the end that do not fill a window are dropped. If several entries of a
    window equal the maximum, the first one in row order gets the whole gradient, as in PyTorch.

    Args:
      x: `[..., W, C]` for a window `(w,)`, `[..., H, W, C]` for a window `(h, w)`.
      window: size of the window in pixels, `(w,)` or `(h, w)`.
      stride: distance in pixels between neighbouring windows; the window's size by default.
      padding: as in `cross_correlate`; it must be smaller than the window.

    Returns:
      An array with the axes of `x`; `arithmetic.output_size` gives its size.

    Raises:
      ValueError: the window is larger than its padded input, or the padding is not smaller than the window.

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
    """Computes the mean over each window. Pixels at the end that do not fill a window are dropped.

    Args:
      x, window, stride, padding: as in `max_pool`.
      count_padding: whether the mean includes the zeros of the padding, or only the pixels of the input.

    >>> average_pool(jnp.arange(6.0)[:, None], (3,), stride=2, padding=1).ravel().tolist()
    [0.5, 2.0, 4.0]
    """
    (x,) = floating(x)
    total = _pool(x, window, stride, padding, lax.add, 0.0)
    if count_padding:
        return total / math.prod(window)
    ones = jnp.ones((*x.shape[-len(window) - 1 : -1], 1), x.dtype)
    return total / _pool(ones, window, stride, padding, lax.add, 0.0)


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
    """Averages an input of any size over windows, so that the output has a fixed number of rows and columns.

    The windows are those of PyTorch: row i of n is the mean over the rows ⌊i H / n⌋ to ⌈(i + 1) H / n⌉ - 1.
    Neighbouring windows overlap if n does not divide H.

    Args:
      x: `[..., H, W, C]`.
      size: number of rows and columns of the output.

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
    """Returns the weights `[places, pixels]` with which each pixel enters the mean of each window."""
    i, pixel = np.arange(places)[:, None], np.arange(pixels)
    inside = (pixel >= i * pixels // places) & (pixel < -(-(i + 1) * pixels // places))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
