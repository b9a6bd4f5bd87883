"""Convolution and pooling in the form that runs fastest: one function each, and the table that chooses.

Networks take it by `nn.Conv(..., conv_general_dilated=lowering.convolution)`. Every lowering is a plain composition
of products, so it differentiates in both directions, batches and exports like the direct convolution.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

_BLOCK = 4  # outputs of a row computed by one product; 2 and 8 were slower for LeNet5's first layer


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

    plain = (
        lhs.ndim == 4
        and _is_channels_last(dimension_numbers, lhs, rhs)
        and all(n == 1 for n in (*window_strides, *(lhs_dilation or ()), *(rhs_dilation or ())))
        and feature_group_count == batch_group_count == 1
        and precision is None
        and preferred_element_type in (None, lhs.dtype)
    )
    if not (plain and _few_channels(lhs.shape, rhs.shape)):
        return direct(lhs, rhs)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)

    def by_rows(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return blocked_toeplitz(x, kernel, padding)

    return lax.platform_dependent(lhs, rhs, cpu=by_rows, default=direct)


def _few_channels(image: Sequence[int], kernel: Sequence[int]) -> bool:
    """First layers. 128x28x28x1 to 6, 5x5, with gradients: direct 16-18 ms, im2col 6-10, blocked Toeplitz 2.0."""
    return image[3] <= 3 and kernel[0] * kernel[1] > 1


def _is_channels_last(dimension_numbers, lhs: jax.Array, rhs: jax.Array) -> bool:
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    return numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, ("NHWC", "HWIO", "NHWC"))


def blocked_toeplitz(x: jax.Array, kernel: jax.Array, pads: Sequence[tuple[int, int]]) -> jax.Array:
    """Stride-1 cross-correlation as one matrix product a block of a row's outputs.

    A block of m neighbouring outputs reads h x (w + m - 1) x C inputs; its matrix is the kernel written m times, each
    copy one pixel further right (a Toeplitz band), so the product is h(w + m - 1)C by mK: wide enough for a CPU's
    matrix units where C alone is not.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    h, w, c, k = kernel.shape
    rows = x.shape[1] + sum(pads[0]) - h + 1
    columns = x.shape[2] + sum(pads[1]) - w + 1
    blocks = -(-columns // _BLOCK)
    span = w + _BLOCK - 1
    spill = blocks * _BLOCK - columns
    x = jnp.pad(x, ((0, 0), pads[0], (pads[1][0], pads[1][1] + spill), (0, 0)))
    windows = jnp.stack([x[:, :, i * _BLOCK : i * _BLOCK + span] for i in range(blocks)], 2)  # [B, H, blocks, span, C]
    windows = jnp.stack([windows[:, i : i + rows] for i in range(h)], 3)  # [B, H', blocks, h, span, C]
    band = jnp.stack([jnp.pad(kernel, ((0, 0), (j, _BLOCK - 1 - j), (0, 0), (0, 0))) for j in range(_BLOCK)], 3)
    out = windows.reshape(-1, h * span * c) @ band.reshape(h * span * c, _BLOCK * k)
    return out.reshape(len(x), rows, blocks * _BLOCK, k)[:, :, :columns]


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
    x = x[:, : height // h * h, : width // w * w]
    return x.reshape(b, height // h, h, width // w, w, c).max((2, 4))
