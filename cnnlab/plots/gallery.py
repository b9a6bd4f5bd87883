"""Draws images with titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import new_figure, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(images: Sequence[np.ndarray], titles: Sequence[str], *, title: str = "", columns: int = 5) -> Figure:
    """Draws images `[H, W, C]` with a title each, and a common `title` above."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(1.7 * columns, 2.05 * rows))
    figure.suptitle(title, fontsize="medium")
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, text in zip(axes.flat, images, titles, strict=False):
        show(axis, image)
        axis.set_title(for_figure(text), fontsize="small")
    return figure
