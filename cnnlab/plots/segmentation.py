"""Draws segmentations and the uncertainty of each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import class_legend, new_figure, show, show_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def prediction_grid(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
) -> Figure:
    """Draws one row per image: the image, truth, prediction, each map with its scale, and the errors in red.

    Args:
      images: images `[H, W, C]`.
      truths: true masks `[H, W]`, -1 = ignored.
      predictions: predicted masks `[H, W]`.
      maps: one map `[H, W]` per image, by title, such as `E[y]` and `Var[y]`.
      classes: names of the classes, for the legend.

    >>> mask = np.eye(8, dtype=int)
    >>> figure = prediction_grid([np.zeros((8, 8, 1))], [mask], [mask], {"E[y]": [mask / 2]}, ["no", "yes"])
    >>> [axis.get_title() for axis in figure.axes[:5]]
    ['image', 'truth', 'predicted', 'E[y]', 'errors']
    """
    titles = ("image", "truth", "predicted", *maps, "errors")
    height, width = truths[0].shape
    figure, axes = new_figure(
        len(images), len(titles), size=(1.8 * len(titles), 1.8 * len(images) * height / width + 0.4)
    )
    for i, row in enumerate(axes):
        show(row[0], images[i])
        for axis, mask in ((row[1], truths[i]), (row[2], predictions[i])):
            show_classes(axis, mask)
            axis.axis("off")
        for axis, (title, values) in zip(row[3:-1], maps.items(), strict=True):
            top = 1.0 if title == "E[y]" else max(float(np.max(values[i])), 1e-9)
            heatmap = axis.imshow(values[i], cmap="viridis" if title == "E[y]" else "magma", vmin=0, vmax=top)
            figure.colorbar(heatmap, ax=axis, fraction=0.046)
            axis.axis("off")
        wrong = (predictions[i] != truths[i]) & (truths[i] >= 0)
        row[-1].imshow(np.where(wrong[..., None], (213, 94, 0), (255, 255, 255)).astype(np.uint8))
        row[-1].set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize="small")
    class_legend(figure, classes)
    return figure
