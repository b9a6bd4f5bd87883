"""Draws confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import new_figure
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_NAMED = 50  # classes with a name at the axes; of more, every second, third ...


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws a confusion matrix, coloured by each count's share of its row.

    Args:
      counts: `[k, k]` counts, by true class (rows) and predicted class (columns).
      classes: names of the classes.
    """
    k = len(counts)
    side = min(12.0, 2.2 + 0.42 * k)
    figure, axes = new_figure(size=(side + 0.8, side))
    axis = axes[0, 0]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if k <= 25:
        for row, column in np.argwhere(counts):
            colour = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize="small")
    named = range(0, k, -(-k // _NAMED))
    classes = [for_figure(classes[i]) for i in named]
    axis.set_xticks(named, classes, rotation=(45 if k <= _NAMED else 90) if max(map(len, classes)) > 3 else 0)
    axis.set_yticks(named, classes)
    axis.set(xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, ax=axis, label="share of the true class", fraction=0.046)
    return figure
