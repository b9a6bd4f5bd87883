"""Residual networks for photos, and narrower ones for images of 32 pixels."""

from typing import Any, Literal

import flax.linen as nn
import jax

from cnnlab.errors import check_known
from cnnlab.nn.blocks import dropout, spatial_dropout
from cnnlab.nn.convolution import ConvBlock
from cnnlab.nn.residual import BasicBlock, Bottleneck, Shortcut
from cnnlab.ops import pooling

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """A residual network: a first convolution, stages of residual blocks, the mean over positions and a dense layer.

    For 1,000 classes `resnet18` has 11,689,512 parameters, `resnet34` 21,797,672 and `resnet50` 25,557,032. For
    CIFAR-10 `resnet20` has 269,722; `resnet8`, `resnet32`, `resnet44` and `resnet56` have its form and other numbers of
    blocks.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1 and section 4.2.

    Attributes:
      num_classes: number of outputs of the last layer.
      stage_sizes: number of blocks in each stage; every stage but the first halves height and width and doubles the
        channels.
      block: `basic` (two 3x3 convolutions) or `bottleneck` (1x1, 3x3 and 1x1 convolutions).
      width: channels of the first stage.
      stem: first layers: `photo` is a 7x7 convolution and a pooling, each of stride 2; `small` is one 3x3 convolution.
      shortcut: `project`, `pad` or `none`; see `cnnlab.nn.residual`.
      dropout: dropout rate before the last layer.
      spatial_dropout: share of feature maps that are dropped after each stage.
      features_only: whether to return the last feature map `[B, h, w, C]` instead of logits.
      dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    width: int = 64
    stem: Literal["photo", "small"] = "photo"
    shortcut: Shortcut = "project"
    dropout: float = 0.0
    spatial_dropout: float = 0.0
    features_only: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        check_known("stem", self.stem, ("photo", "small"))
        check_known("block", self.block, BLOCKS)
        norm = {"use_running_average": use_running_average}
        if self.stem == "photo":
            x = ConvBlock(self.width, (7, 7), stride=2, dtype=self.dtype, name="stem")(x, **norm)
            x = pooling.max_pool(x, (3, 3), stride=2, padding=1)
        else:
            x = ConvBlock(self.width, dtype=self.dtype, name="stem")(x, **norm)
        for stage, size in enumerate(self.stage_sizes, 1):
            for i in range(1, size + 1):
                x = BLOCKS[self.block](
                    self.width * 2 ** (stage - 1),
                    stride=2 if stage > 1 and i == 1 else 1,
                    shortcut=self.shortcut,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{i}",
                )(x, **norm)
            name = f"spatial_dropout{stage}"
            x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name=name)(x)
        if self.features_only:
            return x
        x = dropout(self.dropout, deterministic=deterministic, name="dropout")(x.mean((1, 2)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="dense")(x)
