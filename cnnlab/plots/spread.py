"""Draws the metrics of several runs with their means and standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, ORANGE
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4


def spread(metrics: Mapping[str, np.ndarray]) -> Figure:
    """Draws one panel a metric: each run as a point, and mean ± standard deviation beside the points.

    Args:
      metrics: values `[runs]` by name, at least one metric.
    """
    rows = -(-len(metrics) // COLUMNS)
    figure, axes = new_figure(rows, min(COLUMNS, len(metrics)), size=(2.6 * min(COLUMNS, len(metrics)), 2.6 * rows))
    for axis in axes.flat[len(metrics) :]:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes.flat, metrics.items(), strict=False):
        n = len(values)
        axis.plot(np.arange(n), values, "o", color=BLUE)
        axis.errorbar(n + 0.5, values.mean(), values.std(ddof=1) if n > 1 else 0, fmt="s", color=ORANGE, capsize=4)
        axis.set(title=name.replace("_", " "), xticks=[*range(n), n + 0.5], xlim=(-0.7, n + 1.2))
        axis.set_xticklabels([*map(str, range(n)), "mean"])
        axis.margins(y=0.2)
        axis.grid(axis="y", alpha=0.3)
    return figure
