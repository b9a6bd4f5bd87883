"""Transposed convolution, computed in three ways that differ only by rounding.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016, chapter 4.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from cnnlab.errors import unknown
from cnnlab.ops import arithmetic
from cnnlab.ops.arithmetic import Pads
from cnnlab.ops.convolution import convolve, cross_correlate
from cnnlab.ops.matrices import connectivity_matrix
from cnnlab.ops.windows import Padding, Sizes, channels_last, per_axis


def transposed_convolution(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
    extra: Sizes = 0,
    way: Literal["gradient", "zeros", "matrix"] = "gradient",
) -> jax.Array:
    """Computes the transpose of a cross-correlation: it maps K channels back to C, and small images back to large ones.

    Args:
      x: `[..., W']`, `[..., H', W']`, `[..., W', K]` or `[..., H', W', K]`.
      kernel: kernel of the cross-correlation from C to K channels, `[w]`, `[h, w]`, `[w, C / groups, K]` or
        `[h, w, C / groups, K]`.
      stride: stride of the cross-correlation; here the distance in the output between neighbouring pixels of `x`.
      padding: padding of the cross-correlation; here it is cut off the output.
      dilation: distance in pixels between neighbouring weights of the kernel.
      groups: number of groups of channels; a group's outputs depend only on its own inputs.
      extra: pixels at the end of the output that the strides of the cross-correlation do not reach, fewer than the
        stride. With `padding="same"` and `extra=stride - 1` an image becomes `stride` times as large.
      way: "gradient" computes the gradient of the cross-correlation with respect to its input, for the error `x`.
        "zeros" puts zeros between and around the pixels of `x` and computes a convolution of stride 1. "matrix"
        computes the product W x, where Wᵀ h is the cross-correlation.

    Returns:
      An array with the axes of `x`; `arithmetic.transposed_output_size` gives its size. It has C channels.

    Raises:
      ValueError: a shape or an option does not fit; the message names it and the values that are allowed.

    >>> transposed_convolution([1, 10], [1, 2, 3], stride=2).tolist()
    [1.0, 2.0, 13.0, 20.0, 30.0]
    """
    if way not in _WAYS:
        raise unknown("way", way, _WAYS)
    x, kernel, restore = channels_last(x, kernel)
    channels, outputs = kernel.shape[-2] * groups, kernel.shape[-1]
    arithmetic.check_groups(channels, outputs, groups)
    if outputs != x.shape[-1]:
        raise ValueError(f"a transposed kernel {kernel.shape} reads {outputs} channels, but x has {x.shape[-1]}")
    axes = x.ndim - 2
    stride, dilation = per_axis("stride", stride, axes), per_axis("dilation", dilation, axes)
    extra, padding = per_axis("extra", extra, axes), per_axis("padding", padding, axes)
    pads, size = [], []
    for n, k, s, p, d, e in zip(x.shape[1:-1], kernel.shape[:axes], stride, padding, dilation, extra, strict=True):
        pads.append(arithmetic.axis_padding(k, p, dilation=d))
        size.append(arithmetic.transposed_output_size(n, k, stride=s, padding=p, dilation=d, extra=e))
    shape = (x.shape[0], *size, channels)
    return restore(_WAYS[way](x, kernel, _Target(shape, stride, tuple(pads), dilation, groups)))


class _Target(NamedTuple):
    shape: tuple[int, ...]  # [B, ..., C]
    stride: tuple[int, ...]
    pads: tuple[Pads, ...]
    dilation: tuple[int, ...]
    groups: int

    def options(self) -> dict:
        """Returns the options of the cross-correlation whose transpose is computed."""
        return {"stride": self.stride, "padding": self.pads, "dilation": self.dilation, "groups": self.groups}


def _by_gradient(x: jax.Array, kernel: jax.Array, to: _Target) -> jax.Array:
    image = jax.ShapeDtypeStruct(to.shape, x.dtype)
    return jax.linear_transpose(lambda image: cross_correlate(image, kernel, **to.options()), image)(x)[0]


def _by_zeros(x: jax.Array, kernel: jax.Array, to: _Target) -> jax.Array:
    spread = []
    for n, k, s, (before, _), d, size in zip(
        x.shape[1:-1], kernel.shape[:-2], to.stride, to.pads, to.dilation, to.shape[1:-1], strict=True
    ):
        reach = d * (k - 1)
        inserted = (n - 1) * s + 1
        first = reach - before
        # The result has size + reach pixels; a negative number cuts pixels off.
        spread.append((first, size + reach - first - inserted, s - 1))
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *spread, (0, 0, 0)])
    # [h, w, C / groups, groups, K / groups] to [h, w, K / groups, groups, C / groups]
    parts = jnp.swapaxes(kernel.reshape(*kernel.shape[:-1], to.groups, -1), -3, -1)
    kernel = parts.reshape(*parts.shape[:-2], to.shape[-1])
    return convolve(x, kernel, dilation=to.dilation, groups=to.groups)


def _by_matrix(x: jax.Array, kernel: jax.Array, to: _Target) -> jax.Array:
    matrix = connectivity_matrix(kernel, to.shape[1:-1], **to.options())
    flat = x.reshape(x.shape[0], math.prod(x.shape[1:]))
    return jnp.matmul(flat, matrix.T, precision=lax.Precision.HIGHEST).reshape(to.shape)


_WAYS: dict[str, Callable[[jax.Array, jax.Array, _Target], jax.Array]] = {
    "gradient": _by_gradient,
    "zeros": _by_zeros,
    "matrix": _by_matrix,
}
