"""Positions of windows over an image of any size, and the weights for blending them.

Neighbouring windows overlap along an axis. In the middle of each overlap lies a ramp, over which one window fades out
and the next one fades in. Pixels between the ramp and the end of a window have weight 0, so that a pixel is taken only
from windows that contain everything the network sees around it.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from cnnlab.ops.arithmetic import at_least


class Axis(NamedTuple):
    """Windows along one axis, in pixels.

    Attributes:
      size: length of the image, a multiple of the network's stride.
      tile: tile size, the length of each window.
      starts: first pixel of each window, a multiple of the stride; the last window ends where the image ends.
      ramp: length over which two windows are blended; 0 if each pixel comes from one window.
    """

    size: int
    tile: int
    starts: tuple[int, ...]
    ramp: int

    def mixed(self, i: int) -> tuple[int, int]:
        """Returns the first pixel and the last + 1 of the ramp between windows i and i + 1; empty at the axis ends."""
        if i < 0:
            return 0, 0
        if i == len(self.starts) - 1:
            return self.size, self.size
        start = (self.starts[i] + self.tile + self.starts[i + 1]) // 2 - self.ramp // 2
        return start, start + self.ramp

    def used(self, i: int) -> tuple[int, int]:
        """Returns the first pixel and the last + 1 at which window i has weight."""
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
    """Returns weights that rise from 0 to 1 as a raised cosine; with their mirror image they sum to 1.

    >>> [round(float(weight), 3) for weight in fade_in(2)]
    [0.146, 0.854]
    """
    return (np.sin((np.arange(ramp) + 0.5) * (np.pi / 2 / max(ramp, 1))) ** 2).astype(np.float32)


def tile_axis(size: int, *, tile: int, overlap: int, margin: int = 0, stride: int = 1, mix: bool = True) -> Axis:
    """Returns windows that cover an axis evenly.

    If the overlap is smaller than two margins, half of the overlap is blended. The result then depends on the positions
    of the windows, but changes smoothly between them.

    Args:
      size: length of the image in pixels; it is rounded up to a multiple of the stride.
      tile: length of a window in pixels, a multiple of the stride; at most the length of the image is used.
      overlap: smallest overlap of two neighbouring windows in pixels, at most half a tile.
      margin: number of pixels at a window's end whose results depend on pixels beyond the window.
      stride: stride of the network; windows start at its multiples, so that poolings align with those on the whole
        image.
      mix: whether two windows are blended where they meet; if not, each pixel comes from one window.

    Raises:
      ValueError: a number is too small, the tile is no multiple of the stride, or the overlap exceeds half a tile.

    >>> tile_axis(1000, tile=256, overlap=64, margin=16, stride=4)
    Axis(size=1000, tile=256, starts=(0, 184, 372, 556, 744), ramp=32)
    >>> tile_axis(100, tile=256, overlap=64)
    Axis(size=100, tile=100, starts=(0,), ramp=0)
    """
    at_least("size", size, 1)
    at_least("margin", margin, 0)
    check_tile(tile, stride)
    if not 0 <= overlap <= tile // 2:
        raise ValueError(
            f"overlap must lie in 0..{tile // 2}, at most half of the tile of {tile} pixels, found {overlap}"
        )
    size = -(-size // stride) * stride
    if tile >= size:
        return Axis(size, size, (0,), 0)
    # All lengths are counted in strides, so that every window starts at a multiple of the stride.
    total, window, shared = size // stride, tile // stride, min(-(-overlap // stride), tile // stride - 1)
    steps = math.ceil((total - window) / (window - shared))
    starts = tuple(i * (total - window) // steps * stride for i in range(steps + 1))
    ramp = overlap - 2 * margin if overlap >= 2 * margin else overlap // 2
    steps = [b - a for a, b in itertools.pairwise(starts)]
    return Axis(size, tile, starts, min(ramp, *steps, tile - max(steps)) if mix else 0)


def check_tile(tile: int, stride: int) -> None:
    """Raises `ValueError` if the tile size is not a multiple of the network's stride."""
    at_least("stride", stride, 1)
    if tile < stride:
        raise ValueError(f"tile must be at least the network's stride of {stride} pixels, found {tile}")
    if tile % stride:
        below = tile // stride * stride
        raise ValueError(
            f"tile must be a multiple of the network's stride of {stride} pixels, found {tile}; "
            f"the nearest are {below} and {below + stride}"
        )
