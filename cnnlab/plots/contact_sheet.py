"""Draws a contact sheet of annotated photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab.plots.canvas import BOX_COLOURS, new_figure, outline, show, tint
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Annotated(NamedTuple):
    """One photo of a contact sheet.

    Attributes:
      pixels: `[H, W, 3]` uint8.
      title: text above the photo.
      boxes: `[m, 4]` xyxy in pixels.
      classes: class of each box, `[m]`.
      mask: class of each pixel, `[H, W]`, -1 = ignored; None without a mask.
    """

    pixels: np.ndarray
    title: str
    boxes: np.ndarray
    classes: Sequence[int]
    mask: np.ndarray | None


def contact_sheet(photos: Sequence[Annotated], classes: Sequence[str]) -> Figure:
    """Draws up to three photos a row, with boxes labelled by class and masks tinted (-1 is hatched).

    Args:
      photos: the photos.
      classes: names of the classes.
    """
    columns = min(3, len(photos))
    rows = -(-len(photos) // columns)
    figure, axes = new_figure(rows, columns, size=(3.2 * columns, 3.2 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, photo in zip(axes.flat, photos, strict=False):
        show(axis, photo.pixels)
        axis.set_title(for_figure(photo.title), fontsize=8)
        if photo.mask is not None:
            tint(axis, photo.mask)
        for box, label in zip(photo.boxes, photo.classes, strict=True):
            outline(axis, box, for_figure(classes[label]), BOX_COLOURS[label % len(BOX_COLOURS)])
    return figure
