"""Convolution as a product of matrices: of the windows, or of the sparse connections between input and output."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from cnnlab.ops.convolution import cross_correlate
from cnnlab.ops.windows import Border, Padding, Sizes, axes_of, floating, pad, place_windows, window_axes


def im2col(
    x: ArrayLike,
    window: Sequence[int],
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    border: Border = "zeros",
    dilation: Sizes = 1,
) -> jax.Array:
    """Returns every window as a row: `im2col(x, (h, w)) @ kernel.reshape(-1, K)` is the cross-correlation.

    Windows, and the pixels in a window, run row by row. The other common order, column by column with a window in each
    column, is that of the transposed image, transposed.

    Args:
      x: `[..., W, C]` or `[..., H, W, C]`, as the window says.
      window: `(w,)` or `(h, w)` in pixels.
      stride, padding, border, dilation: as in `cross_correlate`.

    Returns:
      `[..., W', w C]` or `[..., H' W', h w C]`.

    >>> im2col(jnp.arange(4.0)[:, None], (2,)).tolist()
    [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    (x,) = floating(x)
    axes = window_axes(x, window)
    lead, size, channels = x.shape[: -axes - 1], x.shape[-axes - 1 : -1], x.shape[-1]
    places = place_windows(size, window, stride=stride, padding=padding, dilation=dilation)
    x = pad(x.reshape(math.prod(lead), *size, channels), places.pads, border)
    columns = []
    for weight in itertools.product(*map(range, window)):  # which of the window's pixels
        first = [a * d for a, d in zip(weight, places.dilation, strict=True)]
        last = [f + s * (n - 1) + 1 for f, s, n in zip(first, places.stride, places.size, strict=True)]
        columns.append(lax.slice(x, (0, *first, 0), (x.shape[0], *last, channels), (1, *places.stride, 1)))
    return jnp.stack(columns, -2).reshape(*lead, math.prod(places.size), math.prod(window) * channels)


def connectivity_matrix(
    kernel: ArrayLike,
    size: Sequence[int],
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    border: Border = "zeros",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """Returns the matrix W of a cross-correlation's connections: Wᵀh is the output for the input h, both flattened.

    Row i holds what input i sends to each output. The matrix is sparse and repeats the kernel along its diagonals
    (Toeplitz); for two axes it repeats such blocks.

    Args:
      kernel: as in `cross_correlate`.
      size: size of the input in pixels, `(W,)` or `(H, W)`.
      stride, padding, border, dilation, groups: as in `cross_correlate`.

    Returns:
      `[n, m]`: n = inputs, m = outputs, pixels row by row, channels innermost.

    >>> connectivity_matrix([1, 2], (4,), stride=2).tolist()
    [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 2.0]]
    """
    (kernel,) = floating(kernel)
    axes = axes_of(kernel)
    if len(size) != axes:
        raise ValueError(f"size must have {axes} axes for a kernel {kernel.shape}, found {tuple(size)}")
    shape = tuple(size) if kernel.ndim == axes else (*size, kernel.shape[-2] * groups)
    n = math.prod(shape)
    impulses = jnp.eye(n, dtype=kernel.dtype).reshape(n, *shape)
    options = {"stride": stride, "padding": padding, "border": border, "dilation": dilation, "groups": groups}
    return cross_correlate(impulses, kernel, **options).reshape(n, -1)
