"""Draws segmentations and the uncertainty of each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import new_figure, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def prediction_grid(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    guesses: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    k: int,
) -> Figure:
    """Draws one row per image: the image, truth, guess, each map with its scale, and the errors in red.

    Args:
      images: images `[H, W, C]`.
      truths: true masks `[H, W]` of k classes, -1 = ignored.
      guesses: predicted masks `[H, W]`.
      maps: one map `[H, W]` per image, by title, such as `E[y]` and `Var[y]`.
      k: number of classes.

    >>> mask = np.eye(8, dtype=int)
    >>> figure = prediction_grid([np.zeros((8, 8, 1))], [mask], [mask], {"E[y]": [mask / 2]}, 2)
    >>> [axis.get_title() for axis in figure.axes[:5]]
    ['image', 'truth', 'guess', 'E[y]', 'errors']
    """
    titles = ("image", "truth", "guess", *maps, "errors")
    height, width = truths[0].shape
    figure, axes = new_figure(len(images), len(titles), size=(1.8 * len(titles), 1.8 * len(images) * height / width))
    for i, row in enumerate(axes):
        show(row[0], images[i])
        for axis, mask in ((row[1], truths[i]), (row[2], guesses[i])):
            _classes(axis, mask, k)
        for axis, (title, values) in zip(row[3:-1], maps.items(), strict=True):
            top = 1.0 if title == "E[y]" else max(float(np.max(values[i])), 1e-9)
            heatmap = axis.imshow(values[i], cmap="viridis" if title == "E[y]" else "magma", vmin=0, vmax=top)
            figure.colorbar(heatmap, ax=axis, fraction=0.046)
            axis.axis("off")
        wrong = (guesses[i] != truths[i]) & (truths[i] >= 0)
        row[-1].imshow(np.where(wrong[..., None], (213, 94, 0), (255, 255, 255)).astype(np.uint8))
        row[-1].set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def _classes(axis, mask: np.ndarray, k: int) -> None:
    axis.imshow(
        np.ma.masked_equal(mask, -1),
        cmap="tab10" if k <= 10 else "tab20",
        vmin=0,
        vmax=max(9, k - 1),
        interpolation="nearest",
    )
    axis.axis("off")
