"""Draws predicted against true values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scatter(values: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws predicted values `[n, d]` against true targets `[n, d]`, with one panel per target."""
    d = targets.shape[1]
    figure, axes = new_figure(1, d, size=(3.4 * d, 3.2))
    for i, axis in enumerate(axes[0]):
        axis.plot(targets[:, i], values[:, i], ".", color=BLUE, alpha=0.5)
        axis.axline((targets[:, i].mean(),) * 2, slope=1, color=GREY, linestyle="--")
        axis.set(xlabel=f"true {names[i]}", ylabel=f"predicted {names[i]}")
    return figure
