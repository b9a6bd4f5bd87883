"""Helpers of all figures: axes without pyplot and its global state, images, outlines of boxes, and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
"""Okabe and Ito's colours, which colour-blind readers can distinguish."""

BOX_COLOURS = (ORANGE, BLUE, "#009e73", "#cc79a7")


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Creates a figure and its axes `[rows, columns]` without pyplot, so that it needs no display and no closing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=120)
    return figure, figure.subplots(rows, columns, squeeze=False)


def show(axis: Axes, image: np.ndarray) -> None:
    """Draws an image `[H, W, C]`, uint8 or in [0, 1], grey or RGB, on an axis."""
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
    axis.text(box[0], box[1] - 1, text, color=colour, fontsize=6, clip_on=True)


def rectangle_of(rectangle: type, box: np.ndarray, **style):
    """Creates a matplotlib rectangle from a box `[4]` xyxy in pixels."""
    # A box has continuous coordinates, with pixel centres at +0.5; imshow puts pixel centres at integers.
    return rectangle((box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, **style)


def tint(axis: Axes, mask: np.ndarray) -> None:
    """Draws a mask `[H, W]` over its image: classes from 1 on in colour, ignored pixels hatched."""
    classes = np.ma.masked_less(mask, 1)
    axis.imshow(classes, cmap="tab10", vmin=0, vmax=max(9, int(mask.max())), alpha=0.45, interpolation="nearest")
    if (mask == -1).any():
        hatched = axis.contourf(mask == -1, levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set(edgecolor=GREY, linewidth=0)
