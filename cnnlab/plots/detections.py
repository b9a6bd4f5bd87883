"""Draws images with true and predicted boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BOXES, GREY
from cnnlab.plots.canvas import new_figure, outline, rectangle_of, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def detections(images: Sequence[np.ndarray], predictions: Sequence, truths: Sequence, classes: Sequence[str]) -> Figure:
    """Draws images with their true boxes (dashed), and their predicted boxes with class and score.

    Args:
      images: images `[H, W, C]`.
      predictions: a list of `(box, class, score)` for each image.
      truths: a list of `(box, class)` for each image.
      classes: names of the classes.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(2.2 * columns, 2.2 * rows + 0.3))
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, boxes, true in zip(axes.flat, images, predictions, truths, strict=False):
        show(axis, image)
        for box, _ in true:
            axis.add_patch(rectangle_of(Rectangle, box, color="white", linestyle="--"))
        for box, label, score in boxes:
            colour = BOXES[label % len(BOXES)]
            outline(axis, box, f"{for_figure(classes[label])} {score:.2f}", colour)
    lines = [Line2D([], [], color=BOXES[k % len(BOXES)], label=for_figure(name)) for k, name in enumerate(classes)]
    truth = Line2D([], [], color="white", linestyle="--", label="truth")
    legend = {"loc": "outside lower center", "ncols": max(2, min(len(lines) + 1, 2 * columns)), "fontsize": "small"}
    figure.legend(handles=[truth, *lines], facecolor=GREY, framealpha=0.5, **legend)
    return figure
