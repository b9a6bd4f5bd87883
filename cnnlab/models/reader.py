"""A fully convolutional reader of strips: one prediction for every few columns of the image."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.blocks import Conv, dropout, max_pool
from cnnlab.nn.convolution import ConvBlock


class Reader(nn.Module):
    """Convolutions that slide along a strip, one column of features a frame, and dilated convolutions over the frames.

    Each stage of `features` halves the height; the first two also halve the width, so that a frame is four pixels wide.
    A convolution as high as the remaining rows turns them into one column of features. Residual convolutions over three
    frames then look at more and more distant neighbours. There is no recurrence, so strips of any width can be read.

    The logits are `[B, W / 4, num_classes]`. With three stages a strip must be 8 pixels high and 4 wide or more.

    Source: the stages follow Shi et al., An End-to-End Trainable Neural Network for Image-based Sequence Recognition,
    2015; dilated convolutions as in Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, ICLR 2016.

    Attributes:
      num_classes: number of symbols of a frame (in reading: the characters and the blank).
      features: channels of each stage.
      context: channels of each frame.
      dilations: distance in frames of the three weights of each convolution over the frames.
      dropout: dropout rate of the frames' features, before the convolutions over the frames and before the last layer.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    features: tuple[int, ...] = (8, 32, 64)
    context: int = 128
    dilations: tuple[int, ...] = (1, 2)
    dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        norm, kind = {"use_running_average": use_running_average}, {"dtype": self.dtype}
        least = 2 ** len(self.features)
        if x.shape[1] < least or x.shape[2] < 4:
            raise ValueError(f"a strip must be {least} pixels high and 4 wide or more, found {x.shape[1]}x{x.shape[2]}")
        for i, features in enumerate(self.features):
            x = ConvBlock(features, name=f"conv{i + 1}", **kind)(x, **norm)
            x = max_pool(x, (2, 2) if i < 2 else (2, 1))
        x = ConvBlock(self.context, (x.shape[1], 1), padding="VALID", name="column", **kind)(x, **norm)
        x = dropout(self.dropout, deterministic=deterministic, name="dropout_column")(x)
        for dilation in self.dilations:
            x = x + ConvBlock(self.context, (1, 3), dilation=dilation, name=f"dilated{dilation}", **kind)(x, **norm)
        x = dropout(self.dropout, deterministic=deterministic, name="dropout_context")(x)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)[:, 0]
