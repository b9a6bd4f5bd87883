"""Draws reliability diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY
from cnnlab.metrics.calibration.errors import Reliability
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FEW = 10
"""A bin with fewer examples is drawn hollow: its accuracy says little."""


def reliability_diagram(
    bins: Reliability, ece: float, floor: float, *, interval: tuple[float, float] | None = None
) -> Figure:
    """Draws accuracy against confidence, and the number of examples in each bin.

    The shaded band contains 95 of 100 perfectly calibrated models that have as many examples with this confidence.
    Bins with fewer than `FEW` examples are hollow and not on the line.

    Args:
      bins: the bins, from `metrics.calibration.errors.reliability`.
      ece: expected calibration error (ECE).
      floor: ECE of a perfectly calibrated model with as many examples.
      interval: lower and upper end of the ECE's interval, for the title.
    """
    from scipy.stats import binom

    figure, axes = new_figure(2, 1, size=(4.4, 5.2))
    figure.get_layout_engine().set(hspace=0.02)
    top, bottom = axes[:, 0]
    top.get_gridspec().set_height_ratios((3, 1))
    filled = bins.count > 0
    count, confidence = bins.count[filled], bins.confidence[filled]
    left, width = bins.edges[:-1][filled], np.diff(bins.edges)[filled]
    low, high = (binom(count, np.clip(confidence, 0, 1)).ppf(q) / count for q in (0.025, 0.975))
    low, high = np.minimum(low, confidence), np.maximum(high, confidence)
    band = {"color": GREY, "alpha": 0.35, "align": "edge", "linewidth": 0, "label": "calibrated, 95 of 100"}
    top.bar(left, high - low, width, low, **band)
    top.plot([0, 1], [0, 1], "--", color=GREY)
    accuracy, few = bins.accuracy[filled], count < FEW
    top.plot(confidence[~few], accuracy[~few], "o-", color=BLUE, label="this model")
    if few.any():
        hollow = {"color": BLUE, "markerfacecolor": "white", "label": f"fewer than {FEW} examples"}
        top.plot(confidence[few], accuracy[few], "o", **hollow)
    spread = "" if interval is None else f" ({interval[0]:.4f} to {interval[1]:.4f})"
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(-0.02, 1.02))
    top.set_title(f"ECE {ece:.4f}{spread}, noise floor {floor:.4f}", fontsize="medium")
    top.legend(loc="best", frameon=False, fontsize="small")
    bottom.bar(left, count, width, align="edge", color=BLUE, edgecolor="white", linewidth=0.8)
    for x, w, n in zip(left + width / 2, width, count, strict=True):
        if w > 0.05:  # the numbers of narrower bins would overlap
            bottom.annotate(
                _short(n), (x, n), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize="x-small"
            )
    bottom.set(xlabel="confidence", ylabel="examples", xlim=(0, 1))
    if filled.any():
        bottom.set(yscale="log", ylim=(0.5, count.max() * 6))
    return figure


def _short(n: int) -> str:
    """Formats a count with at most four characters: 950, 12k, 3M."""
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if n >= unit:
            return f"{n / unit:.1f}{letter}" if n < 10 * unit else f"{n / unit:.0f}{letter}"
    return str(n)
