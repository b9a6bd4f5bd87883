"""Blocks of a convolution with what follows it: normalisation, activation, pooling."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.blocks import Conv, max_pool
from cnnlab.ops.arithmetic import check_groups
from cnnlab.ops.windows import place_windows

BatchNorm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
"""Flax's momentum is the share of the old running average that is kept, so .9 here is PyTorch's momentum .1.

PyTorch's running variance is also the unbiased one, n / (n - 1) times this, n pixels of the batch."""

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""Source: He et al., Delving Deep into Rectifiers, ICCV 2015, with the gradient's variance kept."""

HE_AVERAGE = nn.initializers.variance_scaling(2.0, "fan_avg", "normal")
"""He's factor with Glorot's mean of both fans, for convolutions without batch norm: where nothing mends the size of
activations, keeping only the gradient's starts the paper's GoogLeNet (10 classes, a guess costs ln 10 = 2.3) at a mean
cross-entropy of 193 (85-253 over 8 seeds), this at 4.9 (2.6-6.2).

Source: Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, AISTATS 2010."""


class ConvBlock(nn.Module):
    """Convolution, batch norm, activation, pooling; each but the first can be left out.

    Attributes:
      features: output channels.
      kernel: height and width.
      stride: pixels from one place of the kernel to the next.
      padding: `SAME` keeps the size at stride 1, (k - 1) // 2 rows above and k // 2 below at any stride, as PyTorch's
        users write it; `VALID` adds none; a number adds so many on every side.
      dilation: pixels from one weight of the kernel to the next.
      groups: parts of the channels that do not see each other.
      norm: batch norm, and no bias before it.
      activation: any function of arrays; None for none.
      pool: side of the max pooling's windows; None for none.
      epsilon: epsilon of the batch norm.
      dtype: type of the computation; parameters stay float32.

    Raises:
      ValueError: the kernel is larger than its padded input, a stride is below 1, or groups do not divide the channels.

    >>> import jax.numpy as jnp
    >>> block = ConvBlock(8, pool=2)
    >>> out, variables = block.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    >>> out.shape, list(variables["params"])
    ((1, 8, 8, 8), ['conv', 'norm'])
    """

    features: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: str | int = "SAME"
    dilation: int = 1
    groups: int = 1
    norm: bool = True
    activation: Callable[[jax.Array], jax.Array] | None = nn.relu
    pool: int | None = None
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        padding = self.padding.lower() if isinstance(self.padding, str) else self.padding
        places = place_windows(x.shape[1:3], self.kernel, stride=self.stride, padding=padding, dilation=self.dilation)
        check_groups(x.shape[-1], self.features, self.groups)
        x = Conv(
            self.features,
            self.kernel,
            places.stride,
            places.pads,
            kernel_dilation=places.dilation,
            feature_group_count=self.groups,
            use_bias=not self.norm,
            kernel_init=HE_NORMAL if self.norm else HE_AVERAGE,
            dtype=self.dtype,
            name="conv",
        )(x)
        if self.norm:
            x = BatchNorm(use_running_average, epsilon=self.epsilon, dtype=self.dtype, name="norm")(x)
        x = x if self.activation is None else self.activation(x)
        if self.pool is not None and self.pool < 1:
            raise ValueError(f"pool must be 1 or more, or None, found {self.pool}")
        return x if self.pool is None else max_pool(x, (self.pool, self.pool))


class SeparableConv(nn.Module):
    """A convolution of each channel by itself, then one across channels at each pixel: k² C + C K weights, not k² C K.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017.

    Attributes:
      features: output channels.
      kernel: kernel of the first convolution.
      stride: stride of the first convolution.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c, options = x.shape[-1], {"use_bias": False, "dtype": self.dtype}
        places = place_windows(x.shape[1:3], self.kernel, stride=self.stride, padding="same")
        x = Conv(c, self.kernel, places.stride, places.pads, feature_group_count=c, name="depthwise", **options)(x)
        return Conv(self.features, (1, 1), name="pointwise", **options)(x)
