"""A score's histogram inside and outside of the training distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnlab.metrics.separation import separation
from cnnlab.plots.canvas import BLUE, GREY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    for values, name, colour in ((inside, names[0], BLUE), (outside, names[1], ORANGE)):
        weights = np.full(len(values), 1 / len(values))
        axis.hist(values, edges, weights=weights, color=colour, alpha=0.5, label=f"{name} ({len(values):,})")
        axis.hist(values, edges, weights=weights, color=colour, histtype="step")
    axis.axvline(np.sort(outside)[int(0.05 * len(outside) + 1e-9)], linestyle="--", color=GREY, label="95 % found")
    axis.set(xlabel=score, ylabel="share of examples")
    lost = f"{100 * found.fpr95:.1f} % of {names[0]} lost where 95 % of {names[1]} are found"
    axis.set_title(f"AUROC {found.auroc:.4f}\n{lost}", fontsize=9)
    axis.legend(frameon=False, fontsize=8)
    return figure
