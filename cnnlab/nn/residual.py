"""Residual blocks: a few convolutions whose result is added to their input.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, figure 5.
"""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.errors import check_known
from cnnlab.nn.convolution import ConvBlock

Shortcut = Literal["project", "pad"]
"""Where size or channels change: a 1x1 convolution with batch norm (the paper's option B), or every other pixel and
channels of zeros (option A), which has no parameters."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the sum; the first one strides.

    Attributes:
      features: output channels.
      stride: stride of the block.
      shortcut: see `Shortcut`.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    stride: int = 1
    shortcut: Shortcut = "project"
    dtype: Any = None

    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        norm, kind = {"use_running_average": use_running_average}, {"dtype": self.dtype}
        y = ConvBlock(self.features, stride=self.stride, name="conv1", **kind)(x, **norm)
        y = ConvBlock(self.features, activation=None, name="conv2", **kind)(y, **norm)
        return nn.relu(y + _shortcut(self, x, self.features, use_running_average))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and the sum; four times the features come out. The 3x3 strides (as in PyTorch's
    networks; the paper's first 1x1 does).

    Attributes: as in `BasicBlock`.
    """

    features: int
    stride: int = 1
    shortcut: Shortcut = "project"
    dtype: Any = None

    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        norm, kind = {"use_running_average": use_running_average}, {"dtype": self.dtype}
        wide = self.expansion * self.features
        y = ConvBlock(self.features, (1, 1), name="conv1", **kind)(x, **norm)
        y = ConvBlock(self.features, stride=self.stride, name="conv2", **kind)(y, **norm)
        y = ConvBlock(wide, (1, 1), activation=None, name="conv3", **kind)(y, **norm)
        return nn.relu(y + _shortcut(self, x, wide, use_running_average))


def _shortcut(block: BasicBlock | Bottleneck, x: jax.Array, features: int, use_running_average: bool) -> jax.Array:
    """Brings the input of a block to the shape of its output."""
    check_known("shortcut", block.shortcut, get_args(Shortcut))
    if block.stride == 1 and x.shape[-1] == features:
        return x
    if block.shortcut == "pad":
        if features < x.shape[-1]:
            raise ValueError(f"a padded shortcut adds channels, it takes none away: {x.shape[-1]} in, {features} out")
        x = x[:, :: block.stride, :: block.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
    project = ConvBlock(
        features, (1, 1), stride=block.stride, activation=None, dtype=block.dtype, name="shortcut", parent=block
    )
    return project(x, use_running_average=use_running_average)
