"""Precision against recall, a line a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnnlab.metrics.detection.voc import Curve
from cnnlab.plots.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":", "-.")  # ten colours each


def precision_recall(curves: Mapping[str, Curve]) -> Figure:
    """Precision and recall of every class as detections are added by falling score.

    Args:
      curves: by the name of the class; one without objects or without detections is left out.

    >>> import numpy as np
    >>> curve = Curve(np.array([0.9, 0.8]), np.array([1.0, 0.5]), np.array([0.5, 0.5]), 2)
    >>> [line.get_label() for line in precision_recall({"cat": curve}).axes[0].lines]
    ['cat']
    """
    shown = {name: one for name, one in curves.items() if one.objects and len(one.scores)}
    columns = -(-len(shown) // 20)
    figure, axes = new_figure(size=(4.6 + 1.4 * columns, 4.2))
    axis = axes[0, 0]
    for i, (name, one) in enumerate(shown.items()):
        axis.plot(one.recall, one.precision, _LINES[i // 10 % len(_LINES)], color=f"C{i % 10}", label=name)
    axis.set(xlabel="recall", ylabel="precision at IoU .50", xlim=(0, 1.01), ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    if shown:
        figure.legend(loc="outside right upper", ncols=columns, frameon=False, fontsize=8)
    return figure
