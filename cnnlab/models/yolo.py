"""YOLO networks, which predict boxes and classes for every cell of a grid in one forward pass."""

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
"""Side of the kernel in pixels, output channels and stride of a convolution."""

LAYERS: tuple[tuple[Layer, ...], ...] = (
    ((7, 64, 2),),
    ((3, 192, 1),),
    ((1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1)),
    (*(((1, 256, 1), (3, 512, 1)) * 4), (1, 512, 1), (3, 1024, 1)),
    (*(((1, 512, 1), (3, 1024, 1)) * 2), (3, 1024, 1), (3, 1024, 2), (3, 1024, 1), (3, 1024, 1)),
)
"""The paper's 24 convolutions in groups. A pooling follows each group but the last."""

FAST_LAYERS: tuple[tuple[Layer, ...], ...] = (
    *(((3, features, 1),) for features in (16, 32, 64, 128, 256, 512)),
    ((3, 1024, 1),) * 3,
)
"""Nine convolutions. The paper says only how many; here their channels double whenever the map is halved."""


class YOLO(nn.Module):
    """YOLO: convolutions, a hidden dense layer, and a dense layer that predicts all cells of the grid.

    The logits are `[B, S, S, num_classes]`. For images of 448 pixels, S = 7, two boxes per cell and 20 classes (7 x 7 x
    30) `yolo` has 271,703,550 parameters and `yolo_fast` 236,716,382. As in any network with dense layers, all images
    must have the size of those at initialisation.

    Source: Redmon et al., You Only Look Once: Unified, Real-Time Object Detection, CVPR 2016, section 2.1, figure 3.

    Attributes:
      num_classes: numbers per cell: 5 for each box and one for each class.
      cells: side S of the grid in cells.
      layers: groups of convolutions (kernel, channels, stride); a pooling follows each group but the last.
      hidden: units of the hidden dense layer.
      dropout: dropout rate after the hidden dense layer.
      norm: whether batch norm follows every convolution. The paper has none, but training from scratch needs it.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
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
    """A small residual detector whose last map is the grid, with logits `[B, H / stride, W / stride, num_classes]`.

    It can learn from some hundred photos, because it has batch norm and no dense layers. It has 3,371,245 parameters
    for two boxes per cell and three classes. The size of the grid depends on the input: 416 pixels and a stride of 32
    give 13 x 13 cells.

    Attributes:
      num_classes: numbers per cell: 5 for each box and one for each class.
      width: channels of the first stage; each stage has twice as many as the one before.
      stage_sizes: number of blocks in each stage. The first convolution halves the map, and so does every stage until a
        cell has `stride` pixels.
      stride: side of a cell in pixels.
      spatial_dropout: share of feature maps that are dropped before the head.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
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
        cell_size = 2
        for stage, size in enumerate(self.stage_sizes, 1):
            features = self.width * 2 ** (stage - 1)
            for i in range(1, size + 1):
                halve = i == 1 and cell_size < self.stride
                cell_size *= 2 if halve else 1
                name = f"stage{stage}_block{i}"
                x = BasicBlock(features, stride=2 if halve else 1, dtype=self.dtype, name=name)(x, **norm)
        x = ConvBlock(x.shape[-1], activation=leaky_relu, dtype=self.dtype, name="neck")(x, **norm)
        if self.features_only:
            return x
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="spatial_dropout")(x)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)
