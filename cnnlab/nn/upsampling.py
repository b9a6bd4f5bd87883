"""Upsampling to twice the height and width, and skip connections that restore the detail of earlier layers."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from cnnlab.kernels import dispatch
from cnnlab.nn.blocks import Conv
from cnnlab.nn.convolution import ConvBlock


class TransposedUp(nn.Module):
    """A transposed 2x2 convolution of stride 2, which turns every pixel into four pixels without overlap.

    Source: Ronneberger et al., U-Net, MICCAI 2015 (there called up-convolution).

    Attributes:
      features: output channels.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (2, 2, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return dispatch.transposed_convolution(x, kernel) + bias


class InterpolatedUp(nn.Module):
    """A 1x1 convolution, followed by an interpolation to twice the height and width.

    It equals an interpolation that a 1x1 convolution follows, at a quarter of its cost. A 2x2 transposed convolution
    has a kernel of its own for each of the four pixels that it makes of one; this module has one kernel for all four,
    so that no chequerboard arises (Odena et al., Deconvolution and Checkerboard Artifacts, Distill 2016).

    Attributes:
      features: output channels.
      method: interpolation method, `bilinear` or `nearest`.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    method: Literal["bilinear", "nearest"] = "bilinear"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return doubled(Conv(self.features, (1, 1), dtype=self.dtype, name="conv")(x), self.method)


class ResizeUp(nn.Module):
    """A resize to twice the height and width, followed by a 3x3 convolution with batch norm and ReLU.

    Source: Odena et al., Deconvolution and Checkerboard Artifacts, Distill 2016.

    Attributes:
      features: output channels.
      method: interpolation method, `nearest` or `bilinear`.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    method: Literal["nearest", "bilinear"] = "nearest"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        x = doubled(x, self.method)
        return ConvBlock(self.features, dtype=self.dtype, name="conv")(x, use_running_average=use_running_average)


def doubled(x: jax.Array, method: str) -> jax.Array:
    """Interpolates a feature map to twice its height and width.

    `nearest` repeats every pixel. `bilinear` then weighs every pixel and its two neighbours by 1/2, 1/4 and 1/4, which
    is bilinear interpolation at the centres of the new pixels; the first and the last row are repeated at the border.

    Args:
      x: feature map `[B, h, w, C]`.
      method: `bilinear` or `nearest`.

    Returns:
      The map `[B, 2h, 2w, C]`.

    >>> doubled(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1), "bilinear")[0, 0, :, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    for axis in (1, 2):
        x = x.repeat(2, axis)
        if method == "bilinear":
            n = x.shape[axis]
            padded = jnp.pad(x, [(int(a == axis),) * 2 for a in range(x.ndim)], mode="edge")
            before, after = (jax.lax.slice_in_dim(padded, start, start + n, axis=axis) for start in (0, 2))
            x = 0.5 * x + 0.25 * (before + after)
    return x


def concatenate_skip(x: jax.Array, skip: jax.Array) -> jax.Array:
    """Crops the skip to the size of `x` and appends its channels to those of `x`.

    Source: Ronneberger et al., U-Net, MICCAI 2015 (copy and crop).

    Args:
      x: feature map `[B, h, w, C]`.
      skip: feature map `[B, H, W, K]` of an earlier layer, at least as high and wide as `x`.

    Returns:
      The joined map `[B, h, w, C + K]`.

    Raises:
      ValueError: the skip is smaller than `x`.

    >>> concatenate_skip(jnp.zeros((1, 4, 4, 8)), jnp.zeros((1, 6, 5, 2))).shape
    (1, 4, 4, 10)
    """
    return jnp.concatenate([x, crop_centre(skip, x.shape[1:3])], -1)


def crop_centre(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Crops the middle of `[B, H, W, C]`. Of an odd number of surplus rows one more is removed at the end.

    Args:
      x: feature map `[B, H, W, C]`.
      size: height and width of the crop in pixels.

    Raises:
      ValueError: the crop is larger than the map.
    """
    (h, w), (height, width) = size, x.shape[1:3]
    if height < h or width < w:
        raise ValueError(
            f"a skip must be at least as large as the map that it joins, found {height}x{width} for {h}x{w}"
        )
    top, left = (height - h) // 2, (width - w) // 2
    return x[:, top : top + h, left : left + w]
