"""GoogLeNet, built of inception blocks, and Xception, built of separable convolutions."""

import functools
from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import dropout
from cnnlab.nn.convolution import ConvBlock, SeparableConv
from cnnlab.nn.inception import Inception, Widths
from cnnlab.ops import pooling

STAGES = (
    {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64)},
    {
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
    },
    {"5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128)},
)
"""The inception blocks of GoogLeNet's three stages: names and widths, from the paper's table 1."""


class GoogLeNet(nn.Module):
    """GoogLeNet: nine inception blocks, the mean over positions and a dense layer.

    The default is torchvision's form, with 6,624,904 parameters for 1,000 classes: it has batch norm, 3x3 kernels
    instead of 5x5, and a 2x2 pooling before the last stage. The paper's form (`norm=False, large=5, last_pool=3`) has
    6,998,552 parameters, with biases instead of batch norm. Both lack the auxiliary heads. The paper's form also lacks
    local response normalisation, which has no parameters.

    Source: Szegedy et al., Going Deeper with Convolutions, CVPR 2015, table 1.

    Attributes:
      num_classes: number of outputs of the last layer.
      width: factor of the published numbers of channels; below 1 for small tests.
      norm: whether batch norm follows every convolution.
      large: side of the inception blocks' largest kernel in pixels.
      last_pool: side in pixels of the pooling windows before the last stage.
      dropout: dropout rate before the last layer.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    width: float = 1.0
    norm: bool = True
    large: int = 3
    last_pool: int = 2
    dropout: float = 0.2
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        switch = {"use_running_average": use_running_average}
        options = {"norm": self.norm, "epsilon": 1e-3, "dtype": self.dtype}

        scaled = functools.partial(_scaled, width=self.width)

        x = ConvBlock(scaled(64), (7, 7), stride=2, name="conv1", **options)(x, **switch)
        x = halve(x, 3)
        x = ConvBlock(scaled(64), (1, 1), name="conv2_reduce", **options)(x, **switch)
        x = ConvBlock(scaled(192), (3, 3), name="conv2", **options)(x, **switch)
        for stage, side in zip(STAGES, (3, 3, self.last_pool), strict=True):
            x = halve(x, side)
            for name, widths in stage.items():
                block = Inception(Widths(*map(scaled, widths)), large=self.large, name=f"inception{name}", **options)
                x = block(x, **switch)
        if self.features_only:
            return x
        x = dropout(self.dropout, deterministic=deterministic, name="dropout")(x.mean((1, 2)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x)


def halve(x: jax.Array, side: int) -> jax.Array:
    """Computes a max pooling of stride 2 that drops no pixel, because its last window may extend beyond the border.

    Args:
      x: feature map `[B, H, W, C]`.
      side: side of the windows in pixels.
    """
    pads = [(0, max(0, -(-(n - side) // 2) * 2 + side - n)) for n in x.shape[1:3]]
    return pooling.max_pool(x, (side, side), stride=2, padding=pads)


class Xception(nn.Module):
    """Xception: depthwise separable convolutions with residual connections.

    It has 22,855,952 parameters and 54,528 moving statistics for 1,000 classes.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017, figure 5.

    Attributes:
      num_classes: number of outputs of the last layer.
      width: factor of the published numbers of channels; below 1 for small tests.
      middle: number of blocks in the middle flow.
      dropout: dropout rate before the last layer.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    width: float = 1.0
    middle: int = 8
    dropout: float = 0.0
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        def norm(x: jax.Array, name: str) -> jax.Array:
            return BatchNorm(use_running_average, epsilon=1e-3, dtype=self.dtype, name=f"{name}_norm")(x)

        def separable(x: jax.Array, features: int, name: str) -> jax.Array:
            return norm(SeparableConv(scaled(features), dtype=self.dtype, name=name)(x), name)

        def conv(x: jax.Array, features: int, name: str, **options) -> jax.Array:
            block = ConvBlock(scaled(features), epsilon=1e-3, dtype=self.dtype, name=name, **options)
            return block(x, use_running_average=use_running_average)

        scaled = functools.partial(_scaled, width=self.width)

        def shrink(x: jax.Array, first: int, second: int, name: str, activate: bool = True) -> jax.Array:
            """Applies two separable convolutions and a pooling, and adds a strided 1x1 convolution of the input."""
            skip = conv(x, second, f"{name}_shortcut", kernel=(1, 1), stride=2, activation=None)
            x = separable(nn.relu(x) if activate else x, first, f"{name}_conv1")
            x = separable(nn.relu(x), second, f"{name}_conv2")
            return nn.max_pool(x, (3, 3), (2, 2), "SAME") + skip

        x = conv(x, 32, "conv1", stride=2, padding="VALID")
        x = conv(x, 64, "conv2", padding="VALID")
        x = shrink(x, 128, 128, "entry1", activate=False)
        x = shrink(x, 256, 256, "entry2")
        x = shrink(x, 728, 728, "entry3")
        for block in range(1, self.middle + 1):
            skip = x
            for layer in (1, 2, 3):
                x = separable(nn.relu(x), 728, f"middle{block}_conv{layer}")
            x = x + skip
        x = shrink(x, 728, 1024, "exit")
        x = nn.relu(separable(x, 1536, "exit_conv3"))
        x = nn.relu(separable(x, 2048, "exit_conv4"))
        if self.features_only:
            return x
        x = dropout(self.dropout, deterministic=deterministic, name="dropout")(x.mean((1, 2)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x)


def _scaled(features: int, *, width: float) -> int:
    if not width > 0:
        raise ValueError(f"width must be above 0, found {width}")
    return max(1, round(features * width))
