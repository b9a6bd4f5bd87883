"""AlexNet, Network in Network and VGG: plain stacks of convolutions."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.blocks import dropout, flatten, max_pool
from cnnlab.nn.convolution import ConvBlock
from cnnlab.ops import pooling


class AlexNet(nn.Module):
    """AlexNet: five convolutions and three dense layers in one tower.

    This is the one-tower form of 2014, as in torchvision. It has 61,100,840 parameters for 1,000 classes; the two-tower
    form of 2012 has 60,965,224. Average pooling resizes the last map to 6x6, so inputs may have any size from 63 pixels
    on; the paper's have 224.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012;
    Krizhevsky, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv:1404.5997, 2014.

    Attributes:
      num_classes: number of outputs of the last layer.
      width: channels of the first convolution; those of the others are proportional.
      hidden: units of each of the two hidden dense layers.
      dropout: dropout rate before each hidden dense layer.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    width: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        def conv(x: jax.Array, features: int, side: int, name: str, stride: int = 1, padding: int | str = "SAME"):
            block = ConvBlock(
                features, (side, side), stride=stride, padding=padding, norm=False, dtype=self.dtype, name=name
            )
            return block(x)

        w = self.width
        x = conv(x, w, 11, "conv1", stride=4, padding=2)
        x = pooling.max_pool(x, (3, 3), stride=2)
        x = conv(x, 3 * w, 5, "conv2")
        x = pooling.max_pool(x, (3, 3), stride=2)
        x = conv(x, 6 * w, 3, "conv3")
        x = conv(x, 4 * w, 3, "conv4")
        x = conv(x, 4 * w, 3, "conv5")
        x = pooling.max_pool(x, (3, 3), stride=2)
        if self.features_only:
            return x
        x = flatten(pooling.adaptive_average_pool(x, (6, 6)))
        for i in (1, 2):
            x = dropout(self.dropout, deterministic=deterministic, name=f"dropout{i}")(x)
            x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name=f"dense{i}")(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense3")(x)


class NetworkInNetwork(nn.Module):
    """Network in Network: three blocks of a convolution and two 1x1 convolutions, and the mean of one map per class.

    It has 966,986 parameters for CIFAR-10.

    Source: Lin et al., Network In Network, ICLR 2014; widths as published for CIFAR-10.

    Attributes:
      num_classes: number of maps of the last convolution.
      widths: output channels of the three convolutions of each block; the last block lists two, because its third
        convolution has `num_classes`.
      dropout: dropout rate after each of the two poolings.
      features_only: whether to return the feature map `[B, h, w, C]` before the last convolution instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    widths: tuple[tuple[int, ...], ...] = ((192, 160, 96), (192, 192, 192), (192, 192))
    dropout: float = 0.5
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True) -> jax.Array:
        if [len(widths) for widths in self.widths] != [3, 3, 2]:
            raise ValueError(f"widths must be three blocks of 3, 3 and 2 convolutions, found {self.widths}")
        for block, (widths, side) in enumerate(zip(self.widths, (5, 5, 3), strict=True), 1):
            for layer, features in enumerate(widths, 1):
                kernel, name = (side if layer == 1 else 1,) * 2, f"block{block}_conv{layer}"
                x = ConvBlock(features, kernel, norm=False, dtype=self.dtype, name=name)(x)
            if block == 1:
                x = pooling.max_pool(x, (3, 3), stride=2, padding=1)
            if block == 2:
                x = pooling.average_pool(x, (3, 3), stride=2, padding=1)
            if block < 3:
                x = dropout(self.dropout, deterministic=deterministic, name=f"dropout{block}")(x)
        if self.features_only:
            return x
        # Unlike the authors' network, this one has no ReLU after the last convolution, so that logits can be negative.
        classes = ConvBlock(self.num_classes, (1, 1), norm=False, activation=None, dtype=self.dtype, name="classes")
        return classes(x).mean((1, 2))


class VGG(nn.Module):
    """VGG: stages of 3x3 convolutions, each of which ends with a pooling, and three dense layers.

    For 1,000 classes `vgg11` has 132,863,336 parameters and `vgg16` 138,357,544. Average pooling resizes the last map
    to 7x7, which is its size for the paper's 224 pixels, so inputs may have any size from 32 pixels on.

    Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015,
    table 1, configurations A (11) and D (16).

    Attributes:
      num_classes: number of outputs of the last layer.
      depths: number of convolutions in each stage.
      width: channels of the first stage; each stage has twice as many as the one before, up to 8 * `width`.
      hidden: units of each of the two hidden dense layers.
      dropout: dropout rate after each hidden dense layer.
      norm: whether batch norm follows every convolution.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    width: int = 64
    hidden: int = 4096
    dropout: float = 0.5
    norm: bool = False
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        for stage, depth in enumerate(self.depths, 1):
            features = self.width * min(2 ** (stage - 1), 8)
            for layer in range(1, depth + 1):
                block = ConvBlock(features, norm=self.norm, dtype=self.dtype, name=f"stage{stage}_conv{layer}")
                x = block(x, use_running_average=use_running_average)
            x = max_pool(x)
        if self.features_only:
            return x
        x = flatten(pooling.adaptive_average_pool(x, (7, 7)))
        for i in (1, 2):
            x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name=f"dense{i}")(x))
            x = dropout(self.dropout, deterministic=deterministic, name=f"dropout{i}")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense3")(x)
