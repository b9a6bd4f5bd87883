"""YOLO: one forward pass over the photo predicts boxes and classes for every cell of a grid."""

import functools
from typing import Any, Literal

import flax.linen as nn
import jax

from cnnlab.errors import check_known
from cnnlab.nn.blocks import Conv, dropout, flatten, max_pool, spatial_dropout
from cnnlab.nn.convolution import ConvBlock
from cnnlab.nn.residual import BasicBlock

leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.1)

Layer = tuple[int, int, int]
"""Side of the kernel, channels, stride."""

LAYERS: tuple[tuple[Layer, ...], ...] = (
    ((7, 64, 2),),
    ((3, 192, 1),),
    ((1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1)),
    (*(((1, 256, 1), (3, 512, 1)) * 4), (1, 512, 1), (3, 1024, 1)),
    (*(((1, 512, 1), (3, 1024, 1)) * 2), (3, 1024, 1), (3, 1024, 2), (3, 1024, 1), (3, 1024, 1)),
)
"""The paper's 24 convolutions; a pooling stands between two groups."""

FAST_LAYERS: tuple[tuple[Layer, ...], ...] = (
    *(((3, features, 1),) for features in (16, 32, 64, 128, 256, 512)),
    ((3, 1024, 1),) * 3,
)
"""Nine convolutions; the paper gives their number, the widths double as the map halves."""


class YOLO(nn.Module):
    """Convolutions, a hidden dense layer, and a dense layer that predicts every cell: `[B, S, S, num_classes]`.

    For 448 pixels, S = 7, two boxes a cell and 20 classes (7 x 7 x 30) `yolo` has 271,703,550 parameters and
    `yolo_fast` 236,716,382. Its size is fixed by the first image that it sees, as of any network with dense
    layers.

    Source: Redmon et al., You Only Look Once: Unified, Real-Time Object Detection, CVPR 2016, section 2.1, figure 3.

    Attributes:
      num_classes: numbers a cell; 5 a box and one a class.
      cells: S, the side of the grid.
      layers: groups of (kernel, channels, stride); a pooling stands between two groups.
      hidden: units of the hidden dense layer.
      dropout: rate after it.
      norm: batch norm after every convolution, which the paper does not have but training from scratch needs.
      features_only: return the last map `[B, h, w, C]`.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    cells: int = 7
    layers: tuple[tuple[tuple[int, int, int], ...], ...] = LAYERS
    hidden: int = 4096
    dropout: float = 0.5
    norm: bool = False
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        options = {"norm": self.norm, "activation": leaky_relu, "dtype": self.dtype}
        number = 0
        for group, layers in enumerate(self.layers):
            x = max_pool(x) if group else x
            for kernel, features, stride in layers:
                number += 1
                block = ConvBlock(features, (kernel, kernel), stride, name=f"conv{number}", **options)
                x = block(x, use_running_average=use_running_average)
        if self.features_only:
            return x
        x = leaky_relu(nn.Dense(self.hidden, dtype=self.dtype, name="dense1")(flatten(x)))
        x = dropout(self.dropout, deterministic=deterministic, name="dropout")(x)
        x = nn.Dense(self.cells**2 * self.num_classes, dtype=self.dtype, name="dense2")(x)
        return x.reshape(len(x), self.cells, self.cells, self.num_classes)


class SmallYOLO(nn.Module):
    """A residual network whose last map is the grid: logits `[B, H / stride, W / stride, num_classes]`.

    Batch norm and no dense layer let it learn from some hundred photos: 3,371,245 parameters for two boxes a cell and
    three classes. The grid follows the input: 416 pixels and a stride of 32 give 13 x 13 cells.

    Attributes:
      num_classes: numbers a cell.
      width: channels of the first stage, doubled from stage to stage.
      stage_sizes: blocks of each stage; the first convolution and every stage halve the map, down to `stride`.
      stride: pixels of a cell.
      spatial_dropout: rate of dropped feature maps before the head.
      features_only: return the last map.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    width: int = 32
    stage_sizes: tuple[int, ...] = (1, 2, 2, 2)
    stride: Literal[8, 16, 32] = 32
    spatial_dropout: float = 0.1
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        check_known("stride", self.stride, (8, 16, 32))
        norm = {"use_running_average": use_running_average}
        x = ConvBlock(self.width, stride=2, dtype=self.dtype, name="stem")(x, **norm)
        reached = 2
        for stage, size in enumerate(self.stage_sizes, 1):
            features = self.width * 2 ** (stage - 1)
            for i in range(1, size + 1):
                halve = i == 1 and reached < self.stride
                reached *= 2 if halve else 1
                name = f"stage{stage}_block{i}"
                x = BasicBlock(features, stride=2 if halve else 1, dtype=self.dtype, name=name)(x, **norm)
        x = ConvBlock(x.shape[-1], activation=leaky_relu, dtype=self.dtype, name="neck")(x, **norm)
        if self.features_only:
            return x
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout")(x)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)
