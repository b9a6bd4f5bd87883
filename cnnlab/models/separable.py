"""Separable convolutions that end in a weighted mean over positions: as few parameters as possible."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.blocks import Conv, max_pool, spatial_dropout
from cnnlab.nn.convolution import BatchNorm, SeparableConv
from cnnlab.nn.positional import PositionMean


class SeparableNet(nn.Module):
    """One 3x3 convolution, then after each 2x2 max pooling some separable ones, each with batch norm and ReLU.

    A separable convolution costs k² C + C² weights instead of k² C². The mean over positions has a weight for every row
    and one for every column of each map, so that it can tell a loop above from a loop below, which a plain mean cannot.

    Source: Chollet, Xception, CVPR 2017 (separable convolutions).

    Attributes:
      num_classes: outputs of the last layer.
      features: channels of every convolution.
      stages: separable convolutions after each pooling.
      spatial_dropout: rate of dropped feature maps before the mean.
      dtype: type of the computation; parameters stay float32.

    >>> import jax.numpy as jnp
    >>> net = SeparableNet(num_classes=10)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    1900
    """

    num_classes: int
    features: int = 14
    stages: tuple[int, ...] = (2, 2)
    spatial_dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        def norm(x: jax.Array, name: str) -> jax.Array:
            return nn.relu(BatchNorm(use_running_average, dtype=self.dtype, name=f"{name}_norm")(x))

        x = norm(Conv(self.features, (3, 3), use_bias=False, dtype=self.dtype, name="conv")(x), "conv")
        for stage, layers in enumerate(self.stages, 1):
            x = max_pool(x)
            for layer in range(1, layers + 1):
                name = f"stage{stage}_separable{layer}"
                x = norm(SeparableConv(self.features, dtype=self.dtype, name=name)(x), name)
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout")(x)
        x = PositionMean(name="mean")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x)
