"""Convolution blocks: a convolution with batch norm, activation and pooling, and a separable convolution."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import Conv, max_pool
from cnnlab.ops.arithmetic import check_groups
from cnnlab.ops.windows import place_windows

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He's initialiser, in the form that preserves the variance of the gradient from layer to layer.

Source: He et al., Delving Deep into Rectifiers, ICCV 2015."""

HE_AVERAGE = nn.initializers.variance_scaling(2.0, "fan_avg", "normal")
"""He's factor with Glorot's mean of both fans, for convolutions without batch norm.

Without batch norm nothing corrects the size of the activations, and `HE_NORMAL` preserves only that of the gradient:
with it the paper's GoogLeNet starts at a cross-entropy far above that of guessing, with this initialiser much closer.

Source: Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, AISTATS 2010."""


class ConvBlock(nn.Module):
    """A convolution followed by batch norm, an activation and max pooling, each of which can be left out.

    Attributes:
      features: output channels.
      kernel: height and width of the kernel in pixels.
      stride: pixels from one position of the kernel to the next.
      padding: `SAME` adds (k - 1) // 2 rows above and k // 2 below for a kernel that spans k rows, at any stride (for
        odd k PyTorch's `padding=k // 2`), so that stride 1 preserves the size. `VALID` adds none. A number adds that
        many pixels on every side.
      dilation: pixels from one weight of the kernel to the next.
      groups: number of groups of channels; each output sees only the inputs of its group.
      norm: whether batch norm follows the convolution, which then has no bias.
      activation: any function of arrays, or None for no activation.
      pool: side of the max pooling's windows in pixels, or None for no pooling.
      epsilon: epsilon of the batch norm.
      dtype: type of the computation; parameters stay float32.

    Raises:
      ValueError: the kernel is larger than its padded input, `stride`, `dilation` or `pool` is below 1, or `groups`
        does not divide the channels.

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
    """A depthwise separable convolution: one of each channel by itself, then a 1x1 convolution across the channels.

    For C input and K output channels it has k² C + C K weights instead of k² C K.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017.

    Attributes:
      features: output channels.
      kernel: height and width of the first convolution's kernel in pixels.
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
