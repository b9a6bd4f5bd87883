"""Helpers of all figures: axes without pyplot and its global state, images, masks, outlines of boxes, and legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import GREY, of_class
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Creates a figure and its axes `[rows, columns]` without pyplot, so that it needs no display and no closing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=120)
    return figure, figure.subplots(rows, columns, squeeze=False)


def show_classes(axis: Axes, mask: np.ndarray, *, alpha: float = 1.0, first: int = 0) -> None:
    """Draws the classes of a mask `[H, W]` from the class `first` on, in the colours of `cnnlab.colours`."""
    rgba = np.zeros((*mask.shape, 4))
    for k in np.unique(mask[mask >= first]).tolist():
        rgba[mask == k] = (*(part / 255 for part in of_class(k)), alpha)
    axis.imshow(rgba, interpolation="nearest")


def class_legend(figure: Figure, names: Sequence[str], *, first: int = 0) -> None:
    """Adds a legend of the classes' colours below a figure, from the class `first` on."""
    from matplotlib.patches import Patch

    patches = [
        Patch(color=[part / 255 for part in of_class(k)], label=for_figure(name))
        for k, name in enumerate(names)
        if k >= first
    ]
    columns = max(1, min(len(patches), int(figure.get_figwidth() / 1.5)))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")


def show(axis: Axes, image: np.ndarray) -> None:
    """Draws an image `[H, W, C]`, uint8 or in [0, 1], grey or RGB, on an axis; a signal `[1, T, C]` as its curves."""
    if image.shape[0] == 1 and image.dtype != np.uint8:
        axis.plot(image[0], linewidth=1)
        axis.axis("off")
        return
    axis.imshow(
        image if image.shape[-1] == 3 else image[..., 0],
        cmap="gray",
        vmin=0,
        vmax=255 if image.dtype == np.uint8 else 1,
    )
    axis.axis("off")


def outline(axis: Axes, box: np.ndarray, text: str, colour: str) -> None:
    """Draws a box `[4]` xyxy in pixels with a text above it."""
    from matplotlib.patches import Rectangle

    axis.add_patch(rectangle_of(Rectangle, box, color=colour))
    axis.text(box[0], box[1] - 1, text, color=colour, fontsize="x-small", clip_on=True)


def rectangle_of(rectangle: type, box: np.ndarray, **style):
    """Creates a matplotlib rectangle from a box `[4]` xyxy in pixels."""
    # A box has continuous coordinates, with pixel centres at +0.5; imshow puts pixel centres at integers.
    return rectangle((box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, **style)


def tint(axis: Axes, mask: np.ndarray) -> None:
    """Draws a mask `[H, W]` over its image: classes from 1 on in colour, ignored pixels hatched."""
    show_classes(axis, mask, alpha=0.45, first=1)
    if (mask == -1).any():
        hatched = axis.contourf(mask == -1, levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set(edgecolor=GREY, linewidth=0)
