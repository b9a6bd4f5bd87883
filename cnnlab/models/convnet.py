"""A plain stack of convolutions that ends in global average pooling."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import Conv, dropout, max_pool, spatial_dropout


class ConvNet(nn.Module):
    """Stages of 3x3 convolutions with batch norm and ReLU, with 2x2 max pooling between the stages.

    The mean over all positions replaces the dense layers, which have most of the parameters in older networks.

    Source: Lin et al., Network In Network, ICLR 2014 (global average pooling); Simonyan and Zisserman, ICLR 2015 (3x3).

    Attributes:
      num_classes: number of outputs of the last layer.
      stages: for each stage the output channels of its convolutions.
      dropout: dropout rate before the last layer.
      spatial_dropout: share of feature maps that are dropped after each pooling.
      dtype: type of the computation; parameters stay float32.

    >>> import jax.numpy as jnp
    >>> net = ConvNet(num_classes=10, stages=((6,), (8, 8), (8,)))
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    1788
    """

    num_classes: int
    stages: tuple[tuple[int, ...], ...] = ((32,), (48, 48), (72, 72))
    dropout: float = 0.0
    spatial_dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        for stage, widths in enumerate(self.stages, 1):
            if stage > 1:
                x = max_pool(x)
                name = f"spatial_dropout{stage - 1}"
                x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name=name)(x)
            for layer, features in enumerate(widths, 1):
                name = f"stage{stage}_{{}}{layer}"
                x = Conv(features, (3, 3), use_bias=False, dtype=self.dtype, name=name.format("conv"))(x)
                x = BatchNorm(use_running_average, dtype=self.dtype, name=name.format("norm"))(x)
                x = nn.relu(x)
        x = dropout(self.dropout, deterministic=deterministic, name="dropout")(x.mean((1, 2)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x)
