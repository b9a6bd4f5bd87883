"""Draws images beside their nearest images in one or several spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import new_figure, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_neighbours(images: np.ndarray, neighbours: Mapping[str, np.ndarray]) -> Figure:
    """Draws one image a row: on the left the image, then its nearest images in each space, side by side.

    Args:
      images: `[Q, H, W, C]`, uint8 or in [0, 1].
      neighbours: for each space by its name, the nearest images `[Q, k, H, W, C]`, the nearest first.
    """
    from matplotlib.lines import Line2D

    counts = [near.shape[1] for near in neighbours.values()]
    columns = 1 + sum(counts)
    figure, axes = new_figure(len(images), columns, size=(0.85 * columns + 0.4, 0.85 * len(images) + 0.5))
    for axis, image in zip(axes[:, 0], images, strict=True):
        show(axis, image)
    axes[0, 0].set_title("image", fontsize="small")
    start = 1
    for name, near in neighbours.items():
        for row, nearest in zip(axes[:, start : start + near.shape[1]], near, strict=True):
            for axis, image in zip(row, nearest, strict=True):
                show(axis, image)
        first = axes[0, start]
        title = first.text(0, 1.1, for_figure(name), transform=first.transAxes, fontsize="small")
        title.set_in_layout(False)  # it may be wider than an image
        for axis in axes[:, start]:  # a line between two spaces
            axis.add_artist(Line2D([-0.06] * 2, [0, 1], transform=axis.transAxes, color="black", clip_on=False))
        start += near.shape[1]
    return figure
