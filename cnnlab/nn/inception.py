"""The inception block: four parallel branches that read the same feature map.

Source: Szegedy et al., Going Deeper with Convolutions, CVPR 2015, figure 2b.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.nn.convolution import ConvBlock
from cnnlab.ops import pooling


class Widths(NamedTuple):
    """Output channels of an inception block's convolutions, in the order of the paper's table 1.

    Attributes:
      one: channels of the 1x1 branch.
      three_reduce: channels of the 1x1 convolution before the 3x3.
      three: channels of the 3x3 convolution.
      five_reduce: channels of the 1x1 convolution before the 5x5.
      five: channels of the 5x5 convolution.
      pool: channels of the 1x1 convolution after the pooling.
    """

    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool: int


class Inception(nn.Module):
    """A block that concatenates 1x1, 3x3 and 5x5 convolutions and a max pooling of the same input.

    A 1x1 convolution reduces the channels before the 3x3 and the 5x5 convolution, and another follows the pooling.

    Attributes:
      widths: output channels of the convolutions.
      large: side of the largest kernel in pixels: 5 in the paper, 3 in torchvision.
      norm: whether batch norm follows every convolution.
      epsilon: epsilon of the batch norm.
      dtype: type of the computation; parameters stay float32.
    """

    widths: Widths
    large: int = 5
    norm: bool = True
    epsilon: float = 1e-3
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        def conv(x: jax.Array, features: int, side: int, name: str) -> jax.Array:
            block = ConvBlock(features, (side, side), norm=self.norm, epsilon=self.epsilon, dtype=self.dtype, name=name)
            return block(x, use_running_average=use_running_average)

        w = self.widths
        one = conv(x, w.one, 1, "one")
        three = conv(conv(x, w.three_reduce, 1, "three_reduce"), w.three, 3, "three")
        five = conv(conv(x, w.five_reduce, 1, "five_reduce"), w.five, self.large, "five")
        pooled = conv(pooling.max_pool(x, (3, 3), stride=1, padding=1), w.pool, 1, "pool")
        return jnp.concatenate([one, three, five, pooled], -1)
