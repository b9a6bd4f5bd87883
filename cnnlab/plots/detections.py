"""Images with true and predicted boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import BOX_COLOURS, new_figure, outline, rectangle_of, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def detections(images: Sequence[np.ndarray], found: Sequence, truths: Sequence, classes: Sequence[str]) -> Figure:
    """Images with their true boxes (dashed) and the found ones with class and score.

    Args:
      images: each `[H, W, C]`.
      found: for each image a list of `(box, class, score)`.
      truths: for each image a list of `(box, class)`.
      classes: names.
    """
    from matplotlib.patches import Rectangle

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(2.2 * columns, 2.2 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, boxes, true in zip(axes.flat, images, found, truths, strict=False):
        show(axis, image)
        for box, _ in true:
            axis.add_patch(rectangle_of(Rectangle, box, color="white", linestyle="--"))
        for box, label, score in boxes:
            colour = BOX_COLOURS[label % len(BOX_COLOURS)]
            outline(axis, box, f"{classes[label]} {score:.2f}", colour)
    return figure
