"""Convolution as a matrix product, with the matrix of windows or with the sparse matrix of connections."""

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
    """Returns a matrix with a window in each row: `im2col(x, (h, w)) @ kernel.reshape(-1, K)` is the cross-correlation.

    The windows are in row order, and so are the pixels of a window. Another common layout has a window in each column
    and goes column by column: it is the transpose of this function's result for the transposed image.

    Args:
      x: `[..., W, C]` for a window `(w,)`, `[..., H, W, C]` for a window `(h, w)`.
      window: size of the window in pixels, `(w,)` or `(h, w)`.
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
    for weight in itertools.product(*map(range, window)):  # position of a pixel in the window
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
    """Returns the matrix W of a cross-correlation: Wᵀh is the output for the input h, both flattened.

    Row i contains the weights from input i to each output. The matrix is sparse. For one axis it is a Toeplitz matrix,
    which repeats the kernel along its diagonals; for two axes it repeats blocks that are Toeplitz matrices.

    Args:
      kernel: as in `cross_correlate`.
      size: size of the input in pixels, `(W,)` or `(H, W)`.
      stride, padding, border, dilation, groups: as in `cross_correlate`.

    Returns:
      `[n, m]` for n inputs and m outputs. The pixels are in row order, and the channels are the innermost axis.

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
