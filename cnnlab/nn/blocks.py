"""Small parts that networks share."""

import functools

import flax.linen as nn
import jax

from cnnlab.ops import lowering

Conv = functools.partial(nn.Conv, conv_general_dilated=lowering.convolution)
"""`nn.Conv` in the fastest lowering: `Conv(features, (h, w), padding=..., name=...)`."""

max_pool = lowering.max_pool


def spatial_dropout(rate: float, *, deterministic: bool, name: str) -> nn.Dropout:
    """Dropout of whole feature maps: neighbouring pixels agree, so dropping single ones removes little.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, CVPR 2015.
    """
    return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=deterministic, name=name)


def flatten(x: jax.Array) -> jax.Array:
    """`[B, ...]` to `[B, n]`, row-major."""
    return x.reshape(len(x), -1)
