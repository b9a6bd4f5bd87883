"""Small fully convolutional networks with one prediction per pixel or per cell, for fast experiments on shapes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import Conv, max_pool, spatial_dropout


class EncoderDecoder(nn.Module):
    """An encoder that halves the image twice, and a decoder that doubles it twice, with a skip at each size.

    The logits are `[B, H, W, num_classes]`. Height and width must be multiples of 4.

    Attributes:
      num_classes: number of classes of a pixel.
      features: channels at full size; each halving of the image doubles them.
      spatial_dropout: share of feature maps that are dropped at the smallest size.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    features: int = 12
    spatial_dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        if x.shape[1] % 4 or x.shape[2] % 4:
            raise ValueError(f"height and width must be multiples of 4, found {x.shape[1]}x{x.shape[2]}")

        def block(x: jax.Array, features: int, name: str) -> jax.Array:
            x = Conv(features, (3, 3), use_bias=False, dtype=self.dtype, name=f"{name}_conv")(x)
            return nn.relu(BatchNorm(use_running_average, dtype=self.dtype, name=f"{name}_norm")(x))

        full = block(x, self.features, "down1")
        half = block(max_pool(full), 2 * self.features, "down2")
        x = block(max_pool(half), 4 * self.features, "bottom")
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout")(x)
        x = block(jnp.concatenate([_double(x), half], -1), 2 * self.features, "up2")
        x = block(jnp.concatenate([_double(x), full], -1), self.features, "up1")
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)


class GridDetector(nn.Module):
    """A stack of n blocks, each of which halves the image, with one prediction per cell of the last map.

    The logits are `[B, H / 2^n, W / 2^n, num_classes]`.

    Attributes:
      num_classes: numbers per cell (in detection: four for the box, one for its score, and one per class).
      features: output channels of each block.
      spatial_dropout: share of feature maps that are dropped before the head.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    features: tuple[int, ...] = (16, 32, 64)
    spatial_dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        for i, features in enumerate(self.features, 1):
            x = Conv(features, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(use_running_average, dtype=self.dtype, name=f"norm{i}")(x))
            x = max_pool(x)
        x = Conv(self.features[-1], (3, 3), use_bias=False, dtype=self.dtype, name="neck_conv")(x)
        x = nn.relu(BatchNorm(use_running_average, dtype=self.dtype, name="neck_norm")(x))
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout")(x)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)


def _double(x: jax.Array) -> jax.Array:
    """Doubles height and width by repeating each pixel."""
    return x.repeat(2, 1).repeat(2, 2)
