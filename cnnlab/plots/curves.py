"""Draws learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, ORANGE
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(history: Sequence[Mapping[str, float]], monitor: str, *, maximise: bool) -> Figure:
    """Draws the loss and the monitored validation metric against epochs.

    Args:
      history: one mapping per epoch, with entries `epoch`, `loss` and `validation_*`.
      monitor: name of the metric, without the prefix `validation_`.
      maximise: whether a larger value of the metric is better.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(1, 2, size=(8, 3.2))
    epochs = [row["epoch"] for row in history]
    left, right = axes[0]
    left.plot(epochs, [row["loss"] for row in history], color=BLUE, label="training")
    left.plot(epochs, [row["validation_loss"] for row in history], color=ORANGE, label="validation")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    left.legend(frameon=False)
    values = [row[f"validation_{monitor}"] for row in history]
    right.plot(epochs, values, color=ORANGE)
    if not np.isnan(values).all():
        best = int(np.nanargmax(values) if maximise else np.nanargmin(values))
        place = (epochs[best], values[best])
        right.plot(*place, "o", color=ORANGE)
        side = "right" if 2 * best > len(values) else "left"  # writes away from the nearer edge
        right.annotate(f"{values[best]:.4f}", place, (0, 8), textcoords="offset points", ha=side)
    right.set(xlabel="epoch", ylabel=f"validation {monitor.replace('_', ' ')}")
    right.margins(y=0.15)
    for axis in axes.flat:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.grid(alpha=0.3)
    return figure
