"""Draws histograms of a score for in-distribution and out-of-distribution images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY, ORANGE
from cnnlab.metrics.separation import separation
from cnnlab.plots.canvas import new_figure
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def separation_histogram(
    scores: np.ndarray,
    ood_scores: np.ndarray,
    *,
    score: str,
    names: tuple[str, str] = ("in distribution", "out of distribution"),
) -> Figure:
    """Draws histograms of a score for in-distribution and for out-of-distribution examples.

    Args:
      scores: scores `[n]` of in-distribution examples, which should be small.
      ood_scores: scores `[m]` of out-of-distribution examples, which should be large.
      score: name of the score.
      names: names of the two sets of examples.

    >>> figure = separation_histogram(np.array([0.1, 0.2]), np.array([0.6, 0.9]), score="entropy", names=("a", "b"))
    >>> figure.axes[0].get_title()
    'AUROC 1.0000\\n0.0 % of a rejected where 95 % of b are detected'
    """
    scores, ood_scores = np.asarray(scores, np.float64), np.asarray(ood_scores, np.float64)
    quality = separation(scores, ood_scores)
    figure, axes = new_figure(size=(4.8, 3.2))
    axis = axes[0, 0]
    both = np.concatenate([scores, ood_scores])
    edges = np.linspace(both.min(), max(both.max(), both.min() + 1e-6), 41)
    names = (for_figure(names[0]), for_figure(names[1]))
    for values, name, colour in ((scores, names[0], BLUE), (ood_scores, names[1], ORANGE)):
        weights = np.full(len(values), 1 / len(values))
        axis.hist(values, edges, weights=weights, color=colour, alpha=0.5, label=f"{name} ({len(values):,})")
        axis.hist(values, edges, weights=weights, color=colour, histtype="step")
    threshold = np.sort(ood_scores)[int(0.05 * len(ood_scores) + 1e-9)]
    axis.axvline(threshold, linestyle="--", color=GREY, label="95 % detected")
    axis.set(xlabel=score, ylabel="share of examples")
    rejected = f"{100 * quality.fpr95:.1f} % of {names[0]} rejected where 95 % of {names[1]} are detected"
    axis.set_title(f"AUROC {quality.auroc:.4f}\n{rejected}", fontsize="small")
    axis.legend(frameon=False, fontsize="small")
    return figure
