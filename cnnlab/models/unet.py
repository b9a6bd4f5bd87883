"""U-Net: a contracting path for context and an expanding path for position."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.errors import check_known
from cnnlab.nn.blocks import Conv, dropout, max_pool, spatial_dropout
from cnnlab.nn.convolution import ConvBlock
from cnnlab.nn.upsampling import TransposedUp, concatenate_skip, crop_centre


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with ReLU; with `residual`, their input is added before the last ReLU.

    Attributes:
      features: output channels.
      padding: `SAME` or `VALID`, which takes 4 rows and columns.
      norm: batch norm after each.
      residual: add the input, through a 1x1 convolution where its channels differ.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    padding: str = "SAME"
    norm: bool = True
    residual: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        norm, kind = {"use_running_average": use_running_average}, {"norm": self.norm, "dtype": self.dtype}
        y = ConvBlock(self.features, padding=self.padding, name="conv1", **kind)(x, **norm)
        last = None if self.residual else nn.relu
        y = ConvBlock(self.features, padding=self.padding, activation=last, name="conv2", **kind)(y, **norm)
        if not self.residual:
            return y
        if x.shape[-1] != self.features:
            x = ConvBlock(self.features, (1, 1), activation=None, name="shortcut", **kind)(x, **norm)
        return nn.relu(y + crop_centre(x, y.shape[1:3]))


class UNet(nn.Module):
    """Blocks of two convolutions and a pooling down, as many with up-convolutions and skips up, and a class a pixel.

    `UNet(2, norm=False, border="valid")` is the paper's network: 31,030,658 parameters, 572x572 pixels in, 388x388 out.
    With zeros or mirroring the output has the size of the input, whatever it is.

    Source: Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015,
    figure 1. Batch norm, the dropout of whole maps and the additions are later customs.

    Attributes:
      num_classes: outputs of every pixel.
      width: channels of the first block; each of the blocks below has twice as many.
      depth: poolings; the bottleneck sees the image 2^depth times smaller.
      norm: batch norm after every 3x3 convolution.
      spatial_dropout: rate of dropped feature maps, after the bottleneck and after every block on the way up.
      central_dropout: rate of dropped single values, after the bottleneck and, at the two deepest levels, after every
        pooling and every block on the way up (Kendall, Badrinarayanan and Cipolla, Bayesian SegNet, BMVC 2017: the
        central units, half of their values).
      residual: every block adds its input to its output (Drozdzal et al., The Importance of Skip Connections in
        Biomedical Image Segmentation, DLMIA 2016).
      skip: `concatenate` what comes from the way down, or `add` it: half as many inputs to the block that follows.
      border: `zero` pads every convolution. `valid` pads none: the output lacks `margin(depth)` rows and columns.
        `mirror` is `valid` on the image mirrored beyond its border, as the paper's tiles.
      dtype: type of the computation; parameters stay float32.

    >>> network = UNet(3, width=2, depth=2)
    >>> network.init_with_output(jax.random.key(0), jnp.zeros((1, 30, 21, 1)))[0].shape
    (1, 30, 21, 3)
    """

    num_classes: int
    width: int = 64
    depth: int = 4
    norm: bool = True
    spatial_dropout: float = 0.0
    central_dropout: float = 0.0
    residual: bool = False
    skip: Literal["concatenate", "add"] = "concatenate"
    border: Literal["zero", "mirror", "valid"] = "zero"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        check_known("skip", self.skip, ("concatenate", "add"))
        check_known("border", self.border, ("zero", "mirror", "valid"))
        if min(self.width, self.depth) < 1:
            raise ValueError(f"width and depth must be 1 or more, found {self.width} and {self.depth}")
        size = x.shape[1:3]
        if self.border == "valid":
            size = tuple(side - margin(self.depth) for side in size)
            if min(size) < 1:
                raise ValueError(
                    f"without padding a U-Net of depth {self.depth} takes {margin(self.depth)} rows and columns, the "
                    f"image has {x.shape[1]}x{x.shape[2]}; give a larger one, or the border zero or mirror"
                )
        x = _pad(x, size, self.depth, self.border)

        block = {
            "padding": "SAME" if self.border == "zero" else "VALID",
            "norm": self.norm,
            "residual": self.residual,
            "dtype": self.dtype,
        }
        average = {"use_running_average": use_running_average}
        join = concatenate_skip if self.skip == "concatenate" else _add_skip

        def central(x: jax.Array, level: int, name: str) -> jax.Array:
            if level < self.depth - 2:
                return x
            return dropout(self.central_dropout, deterministic=deterministic, name=f"central_{name}")(x)

        skips = []
        for i in range(self.depth):
            x = DoubleConv(self.width * 2**i, name=f"down{i + 1}", **block)(x, **average)
            skips.append(x)
            x = central(max_pool(x, (2, 2)), i, f"down{i + 1}")
        x = DoubleConv(self.width * 2**self.depth, name="bottleneck", **block)(x, **average)
        x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name="dropout_bottleneck")(x)
        x = central(x, self.depth, "bottleneck")
        for i in reversed(range(self.depth)):
            x = join(TransposedUp(self.width * 2**i, dtype=self.dtype, name=f"up{i + 1}")(x), skips[i])
            x = DoubleConv(self.width * 2**i, name=f"join{i + 1}", **block)(x, **average)
            x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name=f"dropout{i + 1}")(x)
            x = central(x, i, f"join{i + 1}")
        x = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="classes")(x)
        return x[:, : size[0], : size[1]]


def margin(depth: int) -> int:
    """Rows (and columns) that a U-Net without padding takes from its input: `12 * 2^depth - 8`.

    Every block takes 4 of its own resolution: of `4 (1 + 2 + ... + 2^(d-1))` on the way down, as many on the way up,
    and `4 * 2^d` at the bottom.

    >>> 572 - margin(4)
    388
    """
    return 12 * 2**depth - 8


def _pad(x: jax.Array, size: tuple[int, int], depth: int, border: str) -> jax.Array:
    """Pads the image to the smallest size that every pooling halves and that leaves at least `size` in the end."""
    step = 2**depth
    extra = 0 if border == "zero" else margin(depth)
    # Without padding the output is 2^d n - 4 (2^d - 1) = 4 modulo 2^d for the n pixels that leave the bottleneck.
    rest = 0 if border == "zero" else 4
    pads = []
    for side, wanted in zip(x.shape[1:3], size, strict=True):
        out = max(wanted, step if border == "zero" else 1)
        out += (rest - out) % step
        before = (extra - (side - wanted)) // 2
        pads.append((before, out + extra - side - before))
    if all(pad == (0, 0) for pad in pads):
        return x
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="constant" if border == "zero" else "symmetric")


def _add_skip(x: jax.Array, skip: jax.Array) -> jax.Array:
    return x + crop_centre(skip, x.shape[1:3])
