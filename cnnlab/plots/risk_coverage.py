"""Draws risk-coverage curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY, ORANGE
from cnnlab.metrics.selective import RiskCoverage
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = (BLUE, ORANGE, "#009e73", "#cc79a7")


def risk_coverage_curves(curves: Mapping[str, RiskCoverage], *, coverage: float = 0.8) -> Figure:
    """Draws the error rate of the most confident predictions against their share.

    Two more lines show the best possible order of the predictions and a random order.

    Args:
      curves: curves from `metrics.selective.risk_coverage`, by the name of the score that orders the predictions.
      coverage: coverage at which the risk is marked and printed.

    >>> from cnnlab.metrics.selective import risk_coverage
    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.7]), np.array([1, 1, 0]))
    >>> risk_coverage_curves({"probability": curve}).axes[0].get_ylabel()
    'risk: share of predictions that are wrong'
    """
    figure, axes = new_figure(size=(4.6, 3.6))
    axis = axes[0, 0]
    for colour, (name, curve) in zip(_LINES, curves.items(), strict=False):
        risk = curve.risk[np.searchsorted(curve.coverage, coverage - 1e-9)]
        axis.plot(*curve, color=colour, label=f"{name}: {100 * risk:.2f} % at {100 * coverage:.0f} %")
        axis.plot(coverage, risk, "o", color=colour, markersize=4)
    errors = max(curve.risk[-1] for curve in curves.values())
    share = np.linspace(1e-3, 1, 500)
    axis.plot(share, np.maximum(share - (1 - errors), 0) / share, ":", color=GREY, label="best order")
    axis.axhline(errors, linestyle="--", color=GREY, label="random order")
    axis.axvline(coverage, color=GREY, linewidth=0.6)
    axis.set(xlabel="coverage: share of predictions accepted", ylabel="risk: share of predictions that are wrong")
    highest = max(curve.risk.max() for curve in curves.values())
    axis.set(xlim=(0, 1), ylim=(0, 1.4 * highest or 1))
    axis.legend(frameon=False, fontsize="small", ncols=2, loc="upper left")
    return figure
