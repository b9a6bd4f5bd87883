"""Helpers that convolution and pooling share: the layout of arrays, and the options for each axis."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cnnlab.ops import arithmetic
from cnnlab.ops.arithmetic import Pads

Sizes = int | Sequence[int]
"""A single number for all axes, or a number for each axis."""

Padding = Literal["valid", "same", "full"] | int | Sequence[int | Pads]
"""A name or a number of pixels for all axes, or for each axis a number or a pair (before, after)."""

Border = Literal["zeros", "edge", "reflect", "circular"]
"""Values of the padding: zeros, the nearest pixel, the mirror image without the border pixel, or the opposite side."""

_MODES = {"zeros": "constant", "edge": "edge", "reflect": "reflect", "circular": "wrap"}


class Windows(NamedTuple):
    """The positions of a window on an input: their number along each axis, and the options for each axis."""

    size: tuple[int, ...]
    pads: tuple[Pads, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]


def place_windows(
    size: Sequence[int], window: Sequence[int], *, stride: Sizes = 1, padding: Padding = "valid", dilation: Sizes = 1
) -> Windows:
    """Checks the options of `cross_correlate` and returns the positions of the window on the input.

    Args:
      size: size of the input in pixels, per axis.
      window: size of the window in pixels, per axis.
      stride, padding, dilation: as in `cross_correlate`.

    >>> place_windows((5, 4), (2, 2), padding=1, stride=2).size
    (3, 3)
    """
    axes = len(window)
    stride, dilation = per_axis("stride", stride, axes), per_axis("dilation", dilation, axes)
    each = zip(window, per_axis("padding", padding, axes), dilation, strict=True)
    pads = tuple(arithmetic.axis_padding(k, p, dilation=d) for k, p, d in each)
    each = zip(size, window, stride, pads, dilation, strict=True)
    out = tuple(arithmetic.output_size(n, k, stride=s, padding=p, dilation=d) for n, k, s, p, d in each)
    return Windows(out, pads, stride, dilation)


def window_axes(x: jax.Array, window: Sequence[int]) -> int:
    """Returns the number of axes that the window moves along."""
    if not isinstance(window, Sequence) or len(window) not in (1, 2) or x.ndim <= len(window):
        raise ValueError(
            f"window must be (w,) for x [..., W, C] or (h, w) for [..., H, W, C], found {window} for {x.shape}"
        )
    return len(window)


def per_axis(name: str, value, axes: int) -> tuple:
    """Returns a tuple with one value per axis; a single value is repeated for every axis."""
    single = isinstance(value, str) or not isinstance(value, Iterable)
    values = (value,) * axes if single else tuple(value)
    if len(values) != axes:
        raise ValueError(f"{name} must be a single value or one value for each of {axes} axes, found {value!r}")
    return values


def pad(x: jax.Array, pads: Sequence[Pads], border: Border = "zeros") -> jax.Array:
    """Pads an array `[B, ..., C]` along the axes between batch and channels."""
    if border not in _MODES:
        raise ValueError(f"border must be one of {', '.join(map(repr, _MODES))}, found {border!r}")
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=_MODES[border])


def floating(*arrays: ArrayLike) -> list[jax.Array]:
    """Converts arrays to their common floating type; integers become float32."""
    arrays = [jnp.asarray(array) for array in arrays]
    dtype = jnp.result_type(*arrays)
    return [array.astype(dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.float32) for array in arrays]


def axes_of(kernel: jax.Array) -> int:
    """Returns the number of axes that the kernel moves along."""
    if not 1 <= kernel.ndim <= 4:
        raise ValueError(f"kernel must be [w], [h, w], [w, C, K] or [h, w, C, K], found the shape {kernel.shape}")
    return kernel.ndim - 2 if kernel.ndim > 2 else kernel.ndim


def channels_last(x: ArrayLike, kernel: ArrayLike) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], jax.Array]]:
    """Reshapes input and kernel to `[B, ..., C]` and `[..., C, K]`, and returns a function to reshape the output back.

    If the kernel has no channel axes, C and K are 1. All axes of the input before its spatial axes become B.
    """
    x, kernel = floating(x, kernel)
    axes = axes_of(kernel)
    plain = kernel.ndim == axes
    if x.ndim < kernel.ndim - (not plain):
        raise ValueError(
            f"x must have {kernel.ndim - (not plain)} axes or more for a kernel {kernel.shape}, found {x.shape}"
        )
    if plain:
        x, kernel = x[..., None], kernel[..., None, None]
    lead = x.shape[: -axes - 1]

    def restore(out: jax.Array) -> jax.Array:
        out = out.reshape(*lead, *out.shape[1:])
        return out[..., 0] if plain else out

    return x.reshape(math.prod(lead), *x.shape[-axes - 1 :]), kernel, restore
