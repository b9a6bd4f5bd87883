"""Draws signals over time: measured, true and predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY, ORANGE
from cnnlab.metrics.regression import central_interval
from cnnlab.plots.canvas import new_figure
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recordings(signals: Sequence[np.ndarray], titles: Sequence[str], *, rate: float | None = None) -> Figure:
    """Draws one panel for each signal `[t, C]`, with a line for each channel; missing samples leave gaps.

    Args:
      signals: the samples of each signal.
      titles: text above each panel.
      rate: samples per second; without it the axis counts samples.
    """
    columns = min(3, len(signals))
    rows = -(-len(signals) // columns)
    figure, axes = new_figure(rows, columns, size=(3.2 * columns, 1.9 * rows + 0.3))
    for axis in axes.flat[len(signals) :]:
        axis.axis("off")
    for axis, samples, title in zip(axes.flat, signals, titles, strict=False):
        axis.plot(np.arange(len(samples)) / (rate or 1), samples, linewidth=0.8)
        axis.set_title(for_figure(title), fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("seconds" if rate else "sample", fontsize=8)
    return figure


def traces(
    measured: np.ndarray,
    truth: np.ndarray,
    values: np.ndarray,
    variances: np.ndarray | None = None,
    *,
    rate: float | None = None,
    unit: str = "",
) -> Figure:
    """Draws one panel for each signal: dots for the samples, lines for truth and prediction, a band for its interval.

    Args:
      measured: `[n, T]` samples.
      truth: `[n, T]`, NaN where it is not known.
      values: `[n, T]` predictions.
      variances: `[n, T]`, from which the central 95 % interval is drawn; None draws none.
      rate: samples per second; without it the axis counts samples.
      unit: name and unit of the samples.
    """
    n, length = measured.shape
    time = np.arange(length) / (rate or 1)
    figure, axes = new_figure(n, size=(8, 1.9 * n + 0.3))
    for i, axis in enumerate(axes[:, 0]):
        axis.plot(time, measured[i], ".", color=GREY, markersize=3, label="measured")
        if variances is not None:
            low, high = central_interval(values[i], variances[i])
            axis.fill_between(time, low, high, color=BLUE, alpha=0.25, linewidth=0, label="95 % interval")
        axis.plot(time, truth[i], color=ORANGE, label="truth")
        axis.plot(time, values[i], color=BLUE, label="predicted")
        axis.set(xlim=(time[0], max(time[-1], time[0] + 1e-9)), ylabel=unit)
    axes[-1, 0].set_xlabel("seconds" if rate else "sample")
    axes[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False, fontsize="small")
    return figure
