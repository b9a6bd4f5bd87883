"""A network with very few parameters: separable convolutions and a weighted mean over positions."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import Conv, max_pool, spatial_dropout
from cnnlab.nn.convolution import SeparableConv
from cnnlab.nn.positional import PositionMean


class SeparableNet(nn.Module):
    """One 3x3 convolution, then stages of a 2x2 max pooling and separable convolutions, and a weighted mean.

    Batch norm and ReLU follow each convolution. A separable convolution has k² C + C² weights instead of k² C². The
    mean over positions has a weight for every row and every column of each map, so that, unlike a plain mean, it can
    distinguish a loop at the top from a loop at the bottom.

    Source: Chollet, Xception, CVPR 2017 (separable convolutions).

    Attributes:
      num_classes: number of outputs of the last layer.
      features: output channels of every convolution.
      stages: number of separable convolutions after each pooling.
      spatial_dropout: share of feature maps that are dropped before the mean.
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
