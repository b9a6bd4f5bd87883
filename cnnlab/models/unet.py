"""U-Net: a contracting path that collects context, and an expanding path that restores positions."""

import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.errors import check_known
from cnnlab.nn.blocks import Conv, dropout, max_pool, spatial_dropout
from cnnlab.nn.convolution import ConvBlock
from cnnlab.nn.upsampling import InterpolatedUp, TransposedUp, concatenate_skip, crop_centre


class DoubleConv(nn.Module):
    """A block of two 3x3 convolutions, each with ReLU; with `residual` it adds its input before the last ReLU.

    Attributes:
      features: output channels.
      padding: `SAME`, or `VALID`, with which the output has 4 rows and columns fewer than the input.
      norm: whether batch norm follows each convolution.
      residual: whether to add the input, through a 1x1 convolution if its channels differ from the output's.
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
    """U-Net: blocks that halve the image, as many blocks that double it again with skips, and logits for every pixel.

    `UNet(2, norm=False, border="valid")` is the paper's network. It has 31,030,658 parameters and maps 572x572 pixels
    to 388x388. The network that is named `unet` interpolates its maps (`up="bilinear"`). With the borders `zero` and
    `mirror` the output has the size of the input, for images of any size.

    Source: Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015,
    figure 1. Batch norm, spatial dropout, residual blocks and added skips are not in that paper; they became usual
    later.

    Attributes:
      num_classes: number of outputs for every pixel.
      width: channels of the first block; each block on the way down has twice as many as the one before.
      depth: number of poolings; the bottleneck's map is 2^depth times smaller than the image.
      norm: whether batch norm follows every 3x3 convolution.
      spatial_dropout: share of feature maps that are dropped after the bottleneck and after every block on the way up.
      central_dropout: share of single values that are dropped after the bottleneck and, at the two deepest levels,
        after every pooling and every block on the way up (Kendall, Badrinarayanan and Cipolla, Bayesian SegNet, BMVC
        2017, who drop half of the values of these central units).
      residual: whether every block adds its input to its output (Drozdzal et al., The Importance of Skip Connections in
        Biomedical Image Segmentation, DLMIA 2016).
      skip: `concatenate` appends the channels of the map from the way down; `add` adds them, so that the next block has
        half as many input channels; `none` leaves them out, for comparison.
      up: how a map doubles its height and width. `transposed` is the paper's 2x2 transposed convolution, which may draw
        chequerboards until it is trained long enough. `bilinear` and `nearest` interpolate a 1x1 convolution.
      border: `zero` pads every convolution. `valid` pads none, so that the output has `margin(depth, up)` rows and
        columns fewer. `mirror` is `valid` on an image that is mirrored beyond its border, like the paper's tiles.
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
    skip: Literal["concatenate", "add", "none"] = "concatenate"
    up: Literal["transposed", "bilinear", "nearest"] = "transposed"
    border: Literal["zero", "mirror", "valid"] = "zero"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = True, use_running_average: bool = True) -> jax.Array:
        check_known("skip", self.skip, SKIPS)
        check_known("up", self.up, UPS)
        check_known("border", self.border, ("zero", "mirror", "valid"))
        if min(self.width, self.depth) < 1:
            raise ValueError(f"width and depth must be 1 or more, found {self.width} and {self.depth}")
        size = x.shape[1:3]
        if self.border == "valid":
            removed = margin(self.depth, self.up)
            size = tuple(side - removed for side in size)
            if min(size) < 1:
                raise ValueError(
                    f"without padding a U-Net of depth {self.depth} removes {removed} rows and columns, but "
                    f"the image has {x.shape[1]}x{x.shape[2]} pixels; use a larger image, or the border zero or mirror"
                )
        x = _pad(x, size, self.depth, self.border, self.up)

        block = {
            "padding": "SAME" if self.border == "zero" else "VALID",
            "norm": self.norm,
            "residual": self.residual,
            "dtype": self.dtype,
        }
        average = {"use_running_average": use_running_average}
        join = SKIPS[self.skip]

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
            x = UPS[self.up](self.width * 2**i, dtype=self.dtype, name=f"up{i + 1}")(x)
            if self.border != "zero":
                x = crop_centre(x, tuple(side - _unknown_rows(self.up) for side in x.shape[1:3]))
            x = join(x, skips[i])
            x = DoubleConv(self.width * 2**i, name=f"join{i + 1}", **block)(x, **average)
            x = spatial_dropout(self.spatial_dropout, deterministic=deterministic, name=f"dropout{i + 1}")(x)
            x = central(x, i, f"join{i + 1}")
        x = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="classes")(x)
        return x[:, : size[0], : size[1]]


def margin(depth: int, up: str = "transposed") -> int:
    """Computes how many rows (and columns) a U-Net without padding removes from its input: `12 * 2^depth - 8`.

    Every block removes 4 rows at its own resolution. With d = `depth` that is `4 (1 + 2 + ... + 2^(d-1))` rows of the
    input on the way down, as many on the way up, and `4 * 2^d` at the bottom. Bilinear interpolation does not know the
    outermost rows, because they lie between the map and the rows beyond it; without these 2 rows of each interpolation
    it is `14 * 2^depth - 10`.

    >>> 572 - margin(4), margin(1, "bilinear")
    (388, 18)
    """
    return 12 * 2**depth - 8 + _unknown_rows(up) * (2**depth - 1)


def _unknown_rows(up: str) -> int:
    """Returns how many rows of a map without padding depend on rows beyond it after it was doubled."""
    return 2 if up == "bilinear" else 0


def _pad(x: jax.Array, size: tuple[int, int], depth: int, border: str, up: str) -> jax.Array:
    """Pads the image to the smallest size that every pooling can halve and whose output is at least `size`."""
    multiple = 2**depth
    extra = 0 if border == "zero" else margin(depth, up)
    # Without padding the output is 2^d n - r (2^d - 1) = r modulo 2^d, where n is the output side of the bottleneck and
    # r the rows that every level on the way up removes.
    rest = 0 if border == "zero" else 4 + _unknown_rows(up)
    pads = []
    for side, target in zip(x.shape[1:3], size, strict=True):
        out = max(target, multiple if border == "zero" else 1)
        out += (rest - out) % multiple
        before = (extra - (side - target)) // 2
        pads.append((before, out + extra - side - before))
    if all(pad == (0, 0) for pad in pads):
        return x
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="constant" if border == "zero" else "symmetric")


def _add_skip(x: jax.Array, skip: jax.Array) -> jax.Array:
    return x + crop_centre(skip, x.shape[1:3])


SKIPS = {"concatenate": concatenate_skip, "add": _add_skip, "none": lambda x, skip: x}
"""How a block on the way up takes in the map of the same size from the way down."""

UPS = {
    "transposed": TransposedUp,
    "bilinear": functools.partial(InterpolatedUp, method="bilinear"),
    "nearest": functools.partial(InterpolatedUp, method="nearest"),
}
"""How a block on the way up doubles the height and width of its map."""
