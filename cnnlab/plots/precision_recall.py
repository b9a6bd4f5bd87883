"""Draws precision against recall, with one line per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnnlab.colours import BOXES
from cnnlab.metrics.detection.voc import Curve
from cnnlab.plots.canvas import new_figure
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":", "-.")  # line styles; each serves as many classes as there are colours


def precision_recall(curves: Mapping[str, Curve]) -> Figure:
    """Draws precision against recall of every class, as detections are added by decreasing score.

    Args:
      curves: curve of each class by name; a class without objects or without detections is left out.

    >>> import numpy as np
    >>> curve = Curve(np.array([0.9, 0.8]), np.array([1.0, 0.5]), np.array([0.5, 0.5]), 2)
    >>> [line.get_label() for line in precision_recall({"cat": curve}).axes[0].lines]
    ['cat']
    """
    drawn = {name: curve for name, curve in curves.items() if curve.objects and len(curve.scores)}
    columns = -(-len(drawn) // 20)
    figure, axes = new_figure(size=(4.6 + 1.4 * columns, 4.2))
    axis = axes[0, 0]
    for i, (name, curve) in enumerate(drawn.items()):
        axis.plot(
            curve.recall,
            curve.precision,
            _LINES[i // len(BOXES) % len(_LINES)],
            color=BOXES[i % len(BOXES)],
            label=for_figure(name),
        )
    axis.set(xlabel="recall", ylabel="precision at IoU .50", xlim=(0, 1.01), ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    if drawn:
        figure.legend(loc="outside right upper", ncols=columns, frameon=False, fontsize="small")
    return figure
