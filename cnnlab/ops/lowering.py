"""Convolution and pooling in the form that runs fastest: one function each, and the table that chooses.

Networks take it by `nn.Conv(..., conv_general_dilated=lowering.convolution)`. Every lowering is a plain composition
of products, so it differentiates in both directions, batches and exports like the direct convolution.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_AS_DEFINED = contextvars.ContextVar("as_defined", default=False)


@contextlib.contextmanager
def as_defined() -> Iterator[None]:
    """Within it every convolution and every pooling is the one operation of its definition: to read a traced network.

    >>> with as_defined():
    ...     traced = jax.make_jaxpr(max_pool)(jnp.zeros((1, 4, 4, 1)))
    >>> [equation.primitive.name for equation in traced.eqns]
    ['reduce_window_max']
    """
    token = _AS_DEFINED.set(True)
    try:
        yield
    finally:
        _AS_DEFINED.reset(token)


def convolution(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers=None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision=None,
    preferred_element_type=None,
) -> jax.Array:
    """`lax.conv_general_dilated`, lowered by static shape and platform.

    Args:
      lhs: images, `[B, H, W, C]` where `dimension_numbers` say so.
      rhs: kernel, `[h, w, C, K]`.

    Returns:
      The same array as `lax.conv_general_dilated`, to float32 rounding.
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
        )

    usual = (
        lhs.ndim == 4
        and _is_channels_last(dimension_numbers, lhs, rhs)
        and all(n == 1 for n in lhs_dilation or ())
        and batch_group_count == 1
        and precision is None
        and preferred_element_type in (None, lhs.dtype)
    )
    if not usual:
        return direct(lhs, rhs)
    dilation = tuple(rhs_dilation or (1, 1))
    extent = [(k - 1) * d + 1 for k, d in zip(rhs.shape[:2], dilation, strict=True)]
    pads = padding
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(lhs.shape[1:3], extent, window_strides, padding)
    for kernel, size, pad in zip(extent, lhs.shape[1:3], pads, strict=True):
        if kernel > size + sum(pad):
            raise ValueError(f"a kernel of {kernel} pixels is larger than its padded input of {size + sum(pad)}")
    fast = None
    if 1 < feature_group_count == lhs.shape[-1] == rhs.shape[-1] and math.prod(rhs.shape[:2]) <= _MOST_SHIFTS:
        fast = functools.partial(shifted_products, strides=tuple(window_strides), pads=pads, dilation=dilation)
    elif feature_group_count == 1 and (*window_strides, *dilation) == (1, 1, 1, 1):
        block = _toeplitz_block(lhs.shape, rhs.shape, pads)
        fast = block and functools.partial(blocked_toeplitz, pads=pads, block=block)
    if fast is None or _AS_DEFINED.get():
        return direct(lhs, rhs)
    return lax.platform_dependent(lhs, rhs, cpu=fast, default=direct)


class _Rule(NamedTuple):
    channels: int  # holds up to so many input channels
    megabytes: float  # and up to this size of the matrix of windows
    block: int  # outputs of a row computed by one product


_TOEPLITZ = (
    # Milliseconds, two cores, jaxlib 0.10.2, direct / im2col / blocks of 2 / 4 / 7. Gradient of the kernel:
    # 128x28x28x1 to 6, 5x5: 6.8 / 6.3 / 3.9 / 2.0 / 2.5; 32x100x100x3 to 32, 3x3: 42 / 36 / 34 / 33 / 54;
    # 4x256x256x3 to 16, 3x3: 12.4 / 24.7 / 12.1 / 8.5 / 25.
    _Rule(channels=3, megabytes=float("inf"), block=4),
    # Both gradients: 128x14x14x6 to 16, 5x5: 5.6 / 3.6 / 2.1 / - / 2.4; 32x32x32x6 to 16, 3x3: 4.4 / 2.3 / 2.7 / 2.7 /
    # 3.5; but 4x256x256x8 to 16, 3x3, 50 MB of windows: 47 / 83 / 132 / 91 / 80.
    _Rule(channels=8, megabytes=6, block=2),
)


_MOST_SHIFTS = 9
# Depthwise, milliseconds, two cores (shared), jaxlib 0.10.2, direct / shifted products, forward and both gradients:
# 128x28x28x32, 3x3: 126 / 4.2, 274 / 92; 32x56x56x128, 3x3: 503 / 19, 1118 / 406; 32x28x28x64, 5x5: 84 / 2.5,
# but 200 / 269.


def _toeplitz_block(image: Sequence[int], kernel: Sequence[int], pads: Sequence[tuple[int, int]]) -> int | None:
    """The block for a kernel of few input channels; None where the direct convolution is faster."""
    b, height, width, channels = image
    b = b if isinstance(b, int) else 1  # an export leaves the batch free
    h, w = kernel[:2]
    rows, columns = height + sum(pads[0]) - h + 1, width + sum(pads[1]) - w + 1
    if h * w == 1:
        return None
    for rule in _TOEPLITZ:
        windows = b * rows * (columns / rule.block) * h * (w + rule.block - 1) * channels * 4e-6
        if channels <= rule.channels and windows <= rule.megabytes:
            return rule.block
    return None


def _is_channels_last(dimension_numbers, lhs: jax.Array, rhs: jax.Array) -> bool:
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    return numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, ("NHWC", "HWIO", "NHWC"))


def blocked_toeplitz(x: jax.Array, kernel: jax.Array, pads: Sequence[tuple[int, int]], block: int) -> jax.Array:
    """Stride-1 cross-correlation as one matrix product a block of a row's outputs.

    A block of m neighbouring outputs reads h x (w + m - 1) x C inputs; its matrix is the kernel written m times, each
    copy one pixel further right (a Toeplitz band), so the product is h(w + m - 1)C by mK: wide enough for a CPU's
    matrix units where C alone is not.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      pads: zeros `(before, after)` for rows and columns.
      block: m.

    Returns:
      `[B, H', W', K]`.
    """
    h, w, c, k = kernel.shape
    rows = x.shape[1] + sum(pads[0]) - h + 1
    columns = x.shape[2] + sum(pads[1]) - w + 1
    blocks = -(-columns // block)
    span = w + block - 1
    spill = blocks * block - columns
    x = jnp.pad(x, ((0, 0), pads[0], (pads[1][0], pads[1][1] + spill), (0, 0)))
    windows = jnp.stack([x[:, :, i * block : i * block + span] for i in range(blocks)], 2)  # [B, H, blocks, span, C]
    windows = jnp.stack([windows[:, i : i + rows] for i in range(h)], 3)  # [B, H', blocks, h, span, C]
    band = jnp.stack([jnp.pad(kernel, ((0, 0), (j, block - 1 - j), (0, 0), (0, 0))) for j in range(block)], 3)
    out = windows.reshape(-1, h * span * c) @ band.reshape(h * span * c, block * k)
    return out.reshape(x.shape[0], rows, blocks * block, k)[:, :, :columns]


def shifted_products(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    pads: Sequence[tuple[int, int]],
    dilation: tuple[int, int],
) -> jax.Array:
    """Depthwise cross-correlation as a sum of shifted images, each times one weight a channel.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, 1, C]`.
      strides: of rows and columns.
      pads: zeros `(before, after)` for rows and columns.
      dilation: pixels from one weight to the next, for rows and columns.

    Returns:
      `[B, H', W', C]`.
    """
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    spans = [n - (k - 1) * d for n, k, d in zip(x.shape[1:3], kernel.shape, dilation, strict=False)]

    def shifted(i: int, j: int) -> jax.Array:
        top, left = i * dilation[0], j * dilation[1]
        return x[:, top : top + spans[0] : strides[0], left : left + spans[1] : strides[1]]

    return sum(shifted(i, j) * kernel[i, j, 0] for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))


def max_pool(x: jax.Array, window: tuple[int, int] = (2, 2)) -> jax.Array:
    """Maximum over windows that do not overlap; a remainder at the right and bottom is dropped.

    By reshape and max: its gradient is a comparison, where that of `reduce_window` is a slow scatter on a CPU.
    Equal maxima share the gradient.

    Args:
      x: `[B, H, W, C]`.
      window: height and width, also the stride.

    Returns:
      `[B, H // h, W // w, C]`.
    """
    b, height, width, c = x.shape
    h, w = window
    if h > height or w > width:
        raise ValueError(f"pooling window {window} is larger than its {height}x{width} input")
    if _AS_DEFINED.get():
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, h, w, 1), (1, h, w, 1), "VALID")
    x = x[:, : height // h * h, : width // w * w]
    return x.reshape(b, height // h, h, width // w, w, c).max((2, 4))
