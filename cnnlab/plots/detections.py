"""Draws images with true and predicted boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import BOX_COLOURS, new_figure, outline, rectangle_of, show
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
    from matplotlib.patches import Rectangle

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(2.2 * columns, 2.2 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, boxes, true in zip(axes.flat, images, predictions, truths, strict=False):
        show(axis, image)
        for box, _ in true:
            axis.add_patch(rectangle_of(Rectangle, box, color="white", linestyle="--"))
        for box, label, score in boxes:
            colour = BOX_COLOURS[label % len(BOX_COLOURS)]
            outline(axis, box, f"{for_figure(classes[label])} {score:.2f}", colour)
    return figure
