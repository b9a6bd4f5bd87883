"""Positions of windows over an image of any size, and the weights for blending them.

Along one axis neighbouring windows overlap. In the middle of each overlap lies a ramp, on which the one window fades
out as the next fades in; what lies nearer to a window's end has weight 0, so that a pixel is taken only from windows
that hold all that the network sees of it.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from cnnlab.ops.arithmetic import at_least


class Axis(NamedTuple):
    """Windows along one axis, in pixels.

    Attributes:
      size: size of the image, a multiple of the network's stride.
      tile: tile of each window.
      starts: starts of the windows, multiples of the stride; the last one ends where the image does.
      ramp: pixels on which two windows are mixed; 0 where each pixel is taken from one.
    """

    size: int
    tile: int
    starts: tuple[int, ...]
    ramp: int

    def mixed(self, i: int) -> tuple[int, int]:
        """Returns the first pixel and the last + 1 that windows i and i + 1 share; empty at both ends of the axis."""
        if i < 0:
            return 0, 0
        if i == len(self.starts) - 1:
            return self.size, self.size
        start = (self.starts[i] + self.tile + self.starts[i + 1]) // 2 - self.ramp // 2
        return start, start + self.ramp

    def used(self, i: int) -> tuple[int, int]:
        """Returns the first pixel and the last + 1 in which window i has weight."""
        return self.mixed(i - 1)[0], self.mixed(i)[1]

    def weights(self, i: int) -> np.ndarray:
        """Returns the window's weights `[tile]`; over all windows they sum to 1 at every pixel."""
        out = np.zeros(self.tile, np.float32)
        first, last = (end - self.starts[i] for end in self.used(i))
        out[first:last] = 1
        if i > 0:
            out[first : first + self.ramp] = fade_in(self.ramp)
        if i < len(self.starts) - 1:
            out[last - self.ramp : last] = fade_in(self.ramp)[::-1]
        return out


def fade_in(ramp: int) -> np.ndarray:
    """Weights from 0 to 1, a raised cosine; together with their mirror image they sum to 1.

    >>> [round(float(weight), 3) for weight in fade_in(2)]
    [0.146, 0.854]
    """
    return (np.sin((np.arange(ramp) + 0.5) * (np.pi / 2 / max(ramp, 1))) ** 2).astype(np.float32)


def tile_axis(size: int, *, tile: int, overlap: int, margin: int = 0, stride: int = 1, mix: bool = True) -> Axis:
    """Returns windows that cover an axis evenly.

    Where the overlap is too small to keep the margin on both sides, half of it is mixed: the result then depends on
    where windows lie, smoothly.

    Args:
      size: size of the image in pixels; it is taken up to the next multiple of the stride.
      tile: tile of a window, a multiple of the stride; one that is larger than the image is cut to it.
      overlap: the least of two neighbouring windows, at most half a tile.
      margin: pixels at a window's end whose results would need what lies beyond it.
      stride: windows start at its multiples, as the network's poolings would on the whole image.
      mix: whether two windows are mixed where they meet; if not, each pixel is taken from one.

    Raises:
      ValueError: a number is too small, the tile is no multiple of the stride, or the overlap more than half a tile.

    >>> tile_axis(1000, tile=256, overlap=64, margin=16, stride=4)
    Axis(size=1000, tile=256, starts=(0, 184, 372, 556, 744), ramp=32)
    >>> tile_axis(100, tile=256, overlap=64)
    Axis(size=100, tile=100, starts=(0,), ramp=0)
    """
    at_least("size", size, 1)
    at_least("margin", margin, 0)
    check_tile(tile, stride)
    if not 0 <= overlap <= tile // 2:
        raise ValueError(f"overlap must lie in 0..{tile // 2}, half of the tile of {tile} pixels, found {overlap}")
    size = -(-size // stride) * stride
    if tile >= size:
        return Axis(size, size, (0,), 0)
    # Counted in strides, every start is a whole number.
    total, window, shared = size // stride, tile // stride, min(-(-overlap // stride), tile // stride - 1)
    steps = math.ceil((total - window) / (window - shared))
    starts = tuple(i * (total - window) // steps * stride for i in range(steps + 1))
    ramp = overlap - 2 * margin if overlap >= 2 * margin else overlap // 2
    steps = [b - a for a, b in itertools.pairwise(starts)]
    return Axis(size, tile, starts, min(ramp, *steps, tile - max(steps)) if mix else 0)


def check_tile(tile: int, stride: int) -> None:
    """Raises `ValueError` where windows of this size cannot be aligned to the network's stride."""
    at_least("stride", stride, 1)
    if tile < stride:
        raise ValueError(f"tile must be at least the network's stride of {stride} pixels, found {tile}")
    if tile % stride:
        below = tile // stride * stride
        raise ValueError(
            f"tile must be a multiple of the network's stride of {stride} pixels, found {tile}; "
            f"the nearest are {below} and {below + stride}"
        )
