"""Figures of what a network does with its doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.metrics.selective import RiskCoverage
from cnnlab.metrics.separation import separation
from cnnlab.plots.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#999999"
_LINES = (_BLUE, _ORANGE, "#009e73", "#cc79a7")


def risk_coverage_curves(curves: Mapping[str, RiskCoverage], *, coverage: float = 0.8) -> Figure:
    """Error rate of the surest answers against their share, beside the best order of them and a random one.

    Args:
      curves: from `metrics.selective.risk_coverage`, by the name of the score that orders the answers.
      coverage: marked, with the risk there.

    >>> from cnnlab.metrics.selective import risk_coverage
    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.7]), np.array([1, 1, 0]))
    >>> risk_coverage_curves({"probability": curve}).axes[0].get_ylabel()
    'risk: share of answers that are wrong'
    """
    figure, axes = new_figure(size=(4.6, 3.6))
    axis = axes[0, 0]
    for colour, (name, curve) in zip(_LINES, curves.items(), strict=False):
        risk = curve.risk[np.searchsorted(curve.coverage, coverage - 1e-9)]
        axis.plot(*curve, color=colour, label=f"{name}: {100 * risk:.2f} % at {100 * coverage:.0f} %")
        axis.plot(coverage, risk, "o", color=colour, markersize=4)
    errors = max(curve.risk[-1] for curve in curves.values())
    share = np.linspace(1e-3, 1, 500)
    axis.plot(share, np.maximum(share - (1 - errors), 0) / share, ":", color=_GREY, label="best order")
    axis.axhline(errors, linestyle="--", color=_GREY, label="random order")
    axis.axvline(coverage, color=_GREY, linewidth=0.6)
    axis.set(xlabel="coverage: share of examples answered", ylabel="risk: share of answers that are wrong")
    highest = max(curve.risk.max() for curve in curves.values())
    axis.set(xlim=(0, 1), ylim=(0, 1.4 * highest or 1))
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    return figure


def separation_histogram(
    inside: np.ndarray, outside: np.ndarray, *, score: str, names: tuple[str, str] = ("inside", "outside")
) -> Figure:
    """How a score is spread over examples like those trained on and over others.

    Args:
      inside: `[n]`, scores that should be small.
      outside: `[m]`, scores that should be large.
      score: its name.
      names: of the two sets.

    >>> figure = separation_histogram(np.array([0.1, 0.2]), np.array([0.6, 0.9]), score="entropy", names=("a", "b"))
    >>> figure.axes[0].get_title()
    'AUROC 1.0000\\n0.0 % of a lost where 95 % of b are found'
    """
    inside, outside = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    found = separation(inside, outside)
    figure, axes = new_figure(size=(4.8, 3.2))
    axis = axes[0, 0]
    both = np.concatenate([inside, outside])
    edges = np.linspace(both.min(), max(both.max(), both.min() + 1e-6), 41)
    for values, name, colour in ((inside, names[0], _BLUE), (outside, names[1], _ORANGE)):
        weights = np.full(len(values), 1 / len(values))
        axis.hist(values, edges, weights=weights, color=colour, alpha=0.5, label=f"{name} ({len(values):,})")
        axis.hist(values, edges, weights=weights, color=colour, histtype="step")
    axis.axvline(np.sort(outside)[int(0.05 * len(outside) + 1e-9)], linestyle="--", color=_GREY, label="95 % found")
    axis.set(xlabel=score, ylabel="share of examples")
    lost = f"{100 * found.fpr95:.1f} % of {names[0]} lost where 95 % of {names[1]} are found"
    axis.set_title(f"AUROC {found.auroc:.4f}\n{lost}", fontsize=9)
    axis.legend(frameon=False, fontsize=8)
    return figure
