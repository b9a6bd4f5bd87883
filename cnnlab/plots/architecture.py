"""Draws a network as papers do: each layer as a solid, skip connections as arrows above."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"convolution": "#56b4e9", "pool": "#e69f00", "dense": "#009e73", "join": "#cc79a7", "other": "#bbbbbb"}
_DEPTH = (0.36, 0.26)  # how far one unit of depth moves right and up
_GAP = 0.5


class Solid(NamedTuple):
    """A solid of the drawing: one layer, or several equal layers.

    Attributes:
      shape: shape of the output: `(h, w, c)`, or `(n,)` for a vector.
      kind: `convolution`, `pool`, `dense`, `join` or `other`; it determines the colour.
      above: text above the solid, the operation.
      below: text below the solid, the name of the layer.
      inputs: indices of the solids that it reads; -1 is the network's input.
    """

    shape: tuple[int, ...]
    kind: str
    above: str
    below: str
    inputs: tuple[int, ...] = ()


def architecture(solids: Sequence[Solid], title: str = "") -> Figure:
    """Draws a network as a figure, whose width grows with the number of layers."""
    from matplotlib.figure import Figure

    figure = Figure(dpi=120)
    axis = figure.add_axes((0, 0, 1, 1))
    draw_solids(axis, solids)
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    axis.text((left + right) / 2, top - 0.35, title, ha="center", fontsize="small")
    figure.set_size_inches(0.62 * (right - left), 0.62 * (top - bottom))
    return figure


def draw_solids(axis: Axes, solids: Sequence[Solid]) -> Axes:
    """Draws solids on an axis and returns it.

    Height and depth grow with the logarithm of the rows and columns, width with the logarithm of the channels.
    """
    x, places = 0.0, []
    for solid in solids:
        width, height, depth = _extent(solid.shape)
        shift = depth * _DEPTH[0]
        room = max(width + shift, 0.115 * max(map(len, (*solid.above.split("\n"), *_below(solid).split("\n")))))
        x += (room - width - shift) / 2
        places.append((x, width, height, depth))
        x += (room + width + shift) / 2 + _GAP
    tallest = max(height + depth * _DEPTH[1] for _, _, height, depth in places)
    for solid, place in zip(solids, places, strict=True):
        _draw_solid(axis, place, _COLOURS[solid.kind])
        _write(axis, place, solid, tallest)
    for i, (before, after) in enumerate(itertools.pairwise(places)):
        if i not in solids[i + 1].inputs:
            continue
        start = before[0] + before[1] + before[3] * _DEPTH[0] / 2 + 0.05
        axis.annotate("", (after[0] - 0.03, 0), (min(start, after[0] - 0.2), 0), arrowprops=_arrow("-|>"))
    levels = _draw_skips(axis, solids, places, tallest)
    axis.set_xlim(-0.4, x - _GAP + 0.4)
    axis.set_ylim(-tallest / 2 - 1.05, tallest / 2 + 1.25 + levels)
    axis.set_aspect("equal")
    axis.axis("off")
    return axis


def _extent(shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Returns the width, height and depth of a solid."""
    if len(shape) != 3:
        return 0.18, 0.4 * math.log2(1 + math.prod(shape)), 0.18
    height, width, channels = shape
    return 0.12 + 0.1 * math.log2(channels), 0.4 * math.log2(1 + height), 0.4 * math.log2(1 + width)


def _draw_solid(axis: Axes, place: tuple[float, float, float, float], colour: str) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Polygon

    x, width, height, depth = place
    right, up = depth * _DEPTH[0], depth * _DEPTH[1]
    low, high = -(height + up) / 2, (height - up) / 2
    front = [(x, low), (x + width, low), (x + width, high), (x, high)]
    top = [(x, high), (x + width, high), (x + width + right, high + up), (x + right, high + up)]
    side = [(x + width, low), (x + width + right, low + up), (x + width + right, high + up), (x + width, high)]
    for corners, light in ((front, 1.0), (top, 1.15), (side, 0.85)):
        shade = [min(1, light * part) for part in to_rgb(colour)]
        axis.add_patch(Polygon(corners, facecolor=shade, edgecolor="#333333", linewidth=0.7, joinstyle="round"))


def _write(axis: Axes, place: tuple[float, float, float, float], solid: Solid, tallest: float) -> None:
    x, width, _, depth = place
    middle = x + (width + depth * _DEPTH[0]) / 2
    axis.text(middle, -tallest / 2 - 0.15, _below(solid), ha="center", va="top", fontsize="x-small")
    axis.text(middle, tallest / 2 + 0.15, solid.above, ha="center", va="bottom", fontsize="x-small", color="#555555")


def _below(solid: Solid) -> str:
    return "×".join(map(str, solid.shape)) + "\n" + solid.below


def _draw_skips(axis: Axes, solids: Sequence[Solid], places: Sequence[tuple], tallest: float) -> float:
    """Draws skip connections as arrows above the solids, longer ones higher; returns the height that they take."""
    skips = [(i, j) for j, solid in enumerate(solids) for i in solid.inputs if 0 <= i < j - 1]
    lengths = sorted({j - i for i, j in skips})
    for i, j in skips:
        level = tallest / 2 + 0.75 + 0.3 * lengths.index(j - i)
        start, end = (places[k][0] + (places[k][1] + places[k][3] * _DEPTH[0]) / 2 for k in (i, j))
        axis.plot([start, start, end], [level - 0.2, level, level], color="#333333", linewidth=0.8)
        axis.annotate("", (end, level - 0.25), (end, level + 0.02), arrowprops=_arrow("-|>"))
    return 0.3 * len(lengths)


def _arrow(style: str) -> dict:
    return {"arrowstyle": style, "color": "#333333", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
