"""Draws the metrics of several runs with their means and standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, ORANGE
from cnnlab.metrics.names import larger_is_better, title
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
        axis.plot(np.arange(n), values, "o", color=BLUE, clip_on=False)
        axis.errorbar(n + 0.5, values.mean(), values.std(ddof=1) if n > 1 else 0, fmt="s", color=ORANGE, capsize=4)
        axis.set(title=title(name), xticks=[*range(n), n + 0.5], xlim=(-0.7, n + 1.2))
        axis.set_xticklabels([*map(str, range(n)), "mean"])
        axis.margins(y=0.2)
        if values.min() >= 0:  # no room for values that cannot be
            low, high = axis.get_ylim()
            axis.set_ylim(max(low, 0), min(high, 1) if larger_is_better(name) and values.max() <= 1 else high)
        axis.grid(axis="y", alpha=0.3)
    return figure
