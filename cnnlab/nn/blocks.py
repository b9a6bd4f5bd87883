"""Small parts that networks share."""

import functools

import flax.linen as nn
import jax

from cnnlab.ops import lowering

Conv = functools.partial(nn.Conv, conv_general_dilated=lowering.convolution)
"""`nn.Conv` in the fastest lowering: `Conv(features, (h, w), padding=..., name=...)`."""

max_pool = lowering.max_pool


def dropout(rate: float, *, deterministic: bool, name: str, axes: tuple[int, ...] = ()) -> nn.Dropout:
    """Dropout of single activations, or of whole slices along the axes that share a mask.

    Source: Srivastava et al., Dropout, JMLR 15, 2014.

    Raises:
      ValueError: the rate does not lie in 0 <= rate < 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout rates must lie in 0 <= rate < 1, found {rate} for {name}")
    return nn.Dropout(rate, broadcast_dims=axes, deterministic=deterministic, name=name)


def spatial_dropout(rate: float, *, deterministic: bool, name: str) -> nn.Dropout:
    """Dropout of whole feature maps: neighbouring pixels agree, so dropping single ones removes little.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, CVPR 2015.
    """
    return dropout(rate, deterministic=deterministic, name=name, axes=(1, 2))


def flatten(x: jax.Array) -> jax.Array:
    """`[B, ...]` to `[B, n]`, row-major."""
    return x.reshape(x.shape[0], -1)
