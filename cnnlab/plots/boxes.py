"""A photo with boxes at its own resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Told apart by the colour-blind too (Okabe and Ito)."""


def draw_boxes(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    names: Sequence[str],
    kinds: Sequence[int],
    deviations: Sequence[Sequence[float]] | None = None,
) -> Figure:
    """One image pixel for pixel, its boxes with their names.

    Args:
      image: `[H, W, 3]`.
      boxes: each xyxy in pixels.
      names: written at each box.
      kinds: a number each, for its colour.
      deviations: standard deviations of each box's left, top, right and bottom edge in pixels; two of them are drawn
        as an ellipse around its upper left and its lower right corner.

    >>> draw_boxes(np.zeros((40, 60, 3)), [(5, 5, 30, 30)], ["cat .9"], [0]).get_size_inches().tolist()
    [0.6, 0.4]
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Ellipse, Rectangle

    height, width = image.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
    axis.set_axis_off()
    for i, ((x1, y1, x2, y2), name, kind) in enumerate(zip(boxes, names, kinds, strict=True)):
        colour = COLOURS[kind % len(COLOURS)]
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.5))
        axis.text(x1 + 2, y1 + 2, name, fontsize=7, va="top", backgroundcolor=colour, clip_on=True)
        if deviations is not None:
            left, top, right, bottom = (4 * side for side in deviations[i])  # two to either side
            for corner, w, h in (((x1, y1), left, top), ((x2, y2), right, bottom)):
                axis.add_patch(Ellipse(corner, w, h, facecolor=colour, edgecolor="white", alpha=0.5))
    axis.set(xlim=(0, width), ylim=(height, 0))
    return figure
