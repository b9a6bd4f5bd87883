"""Upsampling to twice the height and width, and skip connections that restore the detail of earlier layers."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from cnnlab.kernels import dispatch
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
        b, height, width, c = x.shape
        x = jax.image.resize(x, (b, 2 * height, 2 * width, c), self.method)
        return ConvBlock(self.features, dtype=self.dtype, name="conv")(x, use_running_average=use_running_average)


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
