"""Twice the height and width: by a transposed convolution, or by a resize and a convolution."""

from typing import Any, Literal

import flax.linen as nn
import jax

from cnnlab.nn.convolution import ConvBlock


class TransposedUp(nn.Module):
    """A transposed 2x2 convolution of stride 2: every pixel becomes four, none shared, so no checkerboard of overlaps.

    Source: Ronneberger et al., U-Net, MICCAI 2015 (its up-convolution).

    Attributes:
      features: output channels.
      dtype: of the computation; parameters stay float32.
    """

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.ConvTranspose(self.features, (2, 2), (2, 2), padding="VALID", dtype=self.dtype, name="conv")(x)


class ResizeUp(nn.Module):
    """A resize to twice the size, then a 3x3 convolution with batch norm and ReLU.

    Source: Odena et al., Deconvolution and Checkerboard Artifacts, Distill 2016.

    Attributes:
      features: output channels.
      method: of the resize.
      dtype: of the computation; parameters stay float32.
    """

    features: int
    method: Literal["nearest", "bilinear"] = "nearest"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        b, height, width, c = x.shape
        x = jax.image.resize(x, (b, 2 * height, 2 * width, c), self.method)
        return ConvBlock(self.features, dtype=self.dtype, name="conv")(x, use_running_average=use_running_average)
