"""Residual blocks, which add the output of a few convolutions to their input.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, figure 5.
"""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.errors import check_known
from cnnlab.nn.convolution import ConvBlock

Shortcut = Literal["project", "pad", "none"]
"""How a block brings its input to the shape of its output if the size or the channels change.

`project` applies a 1x1 convolution with batch norm (the paper's option B). `pad` takes every other pixel and appends
channels of zeros (option A), which needs no parameters. `none` adds no input at all: the paper's plain network, for
comparison."""


class BasicBlock(nn.Module):
    """A residual block of two 3x3 convolutions, the first of which has the stride.

    Attributes:
      features: output channels.
      stride: stride of the block in pixels.
      shortcut: `project`, `pad` or `none`; see `Shortcut`.
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
    """A residual block of a 1x1, a 3x3 and a 1x1 convolution, with 4 * `features` output channels.

    The 3x3 convolution has the stride, as in PyTorch's networks; in the paper the first 1x1 convolution has it.

    Attributes:
      features: channels of the first two convolutions.
      stride: stride of the block in pixels.
      shortcut: `project`, `pad` or `none`; see `Shortcut`.
      dtype: type of the computation; parameters stay float32.
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
    """Converts the input of a block to the shape of its output; 0 without a shortcut."""
    check_known("shortcut", block.shortcut, get_args(Shortcut))
    if block.shortcut == "none":
        return jnp.zeros((), x.dtype)
    if block.stride == 1 and x.shape[-1] == features:
        return x
    if block.shortcut == "pad":
        if features < x.shape[-1]:
            raise ValueError(
                f"the shortcut pad cannot remove channels, found {x.shape[-1]} in, {features} out; use project"
            )
        x = x[:, :: block.stride, :: block.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))
    project = ConvBlock(
        features, (1, 1), stride=block.stride, activation=None, dtype=block.dtype, name="shortcut", parent=block
    )
    return project(x, use_running_average=use_running_average)
