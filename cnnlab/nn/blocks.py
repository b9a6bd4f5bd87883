"""Small layers that networks share: convolution, dropout, pooling and flattening."""

import functools

import flax.linen as nn
import jax

from cnnlab.kernels import dispatch
from cnnlab.kernels.dropout_mask import drop
from cnnlab.ops.pooling import max_pool as max_pool

Conv = functools.partial(nn.Conv, conv_general_dilated=dispatch.convolution)
"""`nn.Conv` that uses the fastest algorithm for the device: `Conv(features, (h, w), padding=..., name=...)`."""


class Dropout(nn.Dropout):
    """`nn.Dropout` with the masks of `cnnlab.kernels.dropout_mask`, which are much faster to draw."""

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None) -> jax.Array:
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if deterministic or self.rate == 0:
            return inputs
        key = self.make_rng(self.rng_collection) if rng is None else rng
        return drop(inputs, key, self.rate, shared=tuple(self.broadcast_dims))


def dropout(rate: float, *, deterministic: bool, name: str, axes: tuple[int, ...] = ()) -> Dropout:
    """Returns a layer that drops single activations, or, with `axes`, whole slices.

    Source: Srivastava et al., Dropout, JMLR 15, 2014.

    Args:
      rate: probability that an activation is dropped.
      deterministic: whether the layer returns its input unchanged.
      name: name of the layer.
      axes: axes along which all activations share one mask.

    Raises:
      ValueError: the rate does not lie in 0 <= rate < 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the dropout rate of {name} must lie in 0 <= rate < 1, found {rate}")
    return Dropout(rate, broadcast_dims=axes, deterministic=deterministic, name=name)


def spatial_dropout(rate: float, *, deterministic: bool, name: str) -> Dropout:
    """Returns a layer that drops whole feature maps.

    Dropping single pixels removes little, because their neighbours carry nearly the same information.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, CVPR 2015.
    """
    return dropout(rate, deterministic=deterministic, name=name, axes=(1, 2))


def flatten(x: jax.Array) -> jax.Array:
    """Flattens `[B, ...]` to `[B, n]` in row-major order."""
    return x.reshape(x.shape[0], -1)
