"""Convolutional networks over time: stacks of dilated convolutions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.nn.blocks import Conv, spatial_dropout
from cnnlab.nn.convolution import ConvBlock


class TemporalBlock(nn.Module):
    """A residual block of two dilated convolutions over time, each with ReLU and spatial dropout.

    Source: Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling, 2018, figure 1. They normalise the weights; here batch norm follows each convolution, or nothing.

    Attributes:
      features: output channels.
      kernel: number of weights over time.
      dilation: time steps from one weight to the next.
      causal: whether an output sees only its own and earlier steps; otherwise as many on both sides.
      norm: whether batch norm follows each convolution.
      dropout: share of feature maps that are dropped after each convolution.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    kernel: int = 3
    dilation: int = 1
    causal: bool = True
    norm: bool = False
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        span = (self.kernel - 1) * self.dilation
        before = span if self.causal else span // 2
        block = {"dilation": self.dilation, "padding": "VALID", "norm": self.norm, "dtype": self.dtype}
        y = x
        for i in (1, 2):
            y = jnp.pad(y, ((0, 0), (0, 0), (before, span - before), (0, 0)))
            y = ConvBlock(self.features, (1, self.kernel), name=f"conv{i}", **block)(
                y, use_running_average=use_running_average
            )
            y = spatial_dropout(self.dropout, deterministic=deterministic, name=f"dropout{i}")(y)
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), dtype=self.dtype, name="shortcut")(x)
        return nn.relu(x + y)


class TCN(nn.Module):
    """A temporal convolutional network: residual blocks of convolutions over time, each more dilated than the last.

    A unit of the last block sees `1 + 2 (kernel - 1) sum(dilations)` time steps: 253 with the defaults. With `pooled`
    the mean over time gives one prediction for each signal, `[B, num_classes]`; otherwise there is one for each time
    step, `[B, 1, T, num_classes]`, for signals of any length.

    Source: Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling, 2018. Doubled dilations: van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016, section
    2.1.

    Attributes:
      num_classes: number of outputs of the last layer.
      features: channels of each block.
      kernel: number of weights over time; odd unless `causal`.
      dilations: for each block the time steps from one weight to the next.
      causal: whether an output sees only its own and earlier steps, as a filter that runs while the signal is measured
        must; otherwise it sees as many on both sides.
      pooled: whether the network gives one prediction for each signal.
      norm: whether batch norm follows each convolution.
      dropout: share of feature maps that are dropped after each convolution.
      dtype: type of the computation; parameters stay float32.

    >>> net = TCN(3, features=4, dilations=(1, 2))
    >>> net.init_with_output(jax.random.key(0), jnp.zeros((2, 1, 50, 1)))[0].shape
    (2, 3)
    """

    num_classes: int
    features: int = 32
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    causal: bool = True
    pooled: bool = True
    norm: bool = False
    dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        if x.shape[1] != 1:
            raise ValueError(f"signals must be [B, 1, T, C], an image of height 1, found {list(x.shape)}")
        if self.kernel < 1 or not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"kernel and dilations must be 1 or more, found {self.kernel} and {tuple(self.dilations)}")
        if not self.causal and self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd unless the network is causal, found {self.kernel}")
        block = {"kernel": self.kernel, "causal": self.causal, "norm": self.norm, "dropout": self.dropout}
        for i, dilation in enumerate(self.dilations, 1):
            x = TemporalBlock(self.features, dilation=dilation, dtype=self.dtype, name=f"block{i}", **block)(
                x, deterministic=deterministic, use_running_average=use_running_average
            )
        if self.pooled:
            return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x.mean((1, 2)))
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)
