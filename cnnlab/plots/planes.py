"""Draws maps of images: points in the plane, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BLUE, GREY, of_class
from cnnlab.plots.canvas import new_figure
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 24  # classes of the legend
_INK = 4e4  # area of all points together, in square points, so that few points are large and many do not cover all


def draw_planes(
    planes: Mapping[str, np.ndarray],
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """Draws maps side by side, with a legend of the classes' colours.

    The axes have no numbers, because only nearness has a meaning; both have one scale.

    Args:
      planes: maps by name, each `[N, 2]`.
      labels: `[N]`, class of each point, -1 = unknown, which is grey; None without classes.
      classes: names of the classes.
      titles: title of each map; by default its name.
    """
    columns = min(3, len(planes))
    rows = -(-len(planes) // columns)
    figure, axes = new_figure(rows, columns, size=(5 * columns, 5.2 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, plane) in zip(axes.flat, planes.items(), strict=False):
        size = min(30.0, max(1.0, _INK / len(plane) / 4))
        order = np.random.default_rng(0).permutation(len(plane))  # so that no class covers all others
        axis.scatter(*plane[order].T, s=size, c=_colours(labels, len(plane))[order], linewidths=0, rasterized=True)
        axis.set_title(for_figure((titles or {}).get(name, name)), fontsize="medium")
        axis.set_aspect("equal", adjustable="datalim")
    if labels is not None:
        _legend(figure, np.unique(labels).tolist(), classes)
    return figure


def _colours(labels: np.ndarray | None, n: int) -> np.ndarray:
    """Returns the colour of each point, `[N]`."""
    if labels is None:
        return np.full(n, BLUE, object)
    names = {k: _colour(k) for k in np.unique(labels).tolist()}
    return np.array([names[k] for k in np.asarray(labels).tolist()], object)


def _colour(k: int) -> str:
    return GREY if k < 0 else "#{:02x}{:02x}{:02x}".format(*of_class(k))


def _legend(figure: Figure, shown: Sequence[int], classes: Sequence[str]) -> None:
    """Names the colours of the classes below the maps; of more than 24 classes the first ones."""
    from matplotlib.lines import Line2D

    names = {k: "unknown" if k < 0 else for_figure(classes[k] if k < len(classes) else k) for k in shown[:_NAMED]}
    handles = [Line2D([], [], marker="o", ls="", color=_colour(k), label=name) for k, name in names.items()]
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.2)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
