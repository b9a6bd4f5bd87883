"""Draws a contact sheet of annotated photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab.colours import BOXES, of_class
from cnnlab.plots.canvas import new_figure, outline, show, tint
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_NAMED = 24  # classes of a legend


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
    height = 3.2 * float(np.median([photo.pixels.shape[0] / photo.pixels.shape[1] for photo in photos])) + 0.25
    figure, axes = new_figure(rows, columns, size=(3.2 * columns, height * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, photo in zip(axes.flat, photos, strict=False):
        show(axis, photo.pixels)
        axis.set_title(for_figure(photo.title), fontsize=8)
        if photo.mask is not None:
            tint(axis, photo.mask)
        for box, label in zip(photo.boxes, photo.classes, strict=True):
            outline(axis, box, for_figure(classes[label]), BOXES[label % len(BOXES)])
    masks = [photo.mask for photo in photos if photo.mask is not None]
    if masks and not any(len(photo.boxes) for photo in photos):
        _legend(figure, sorted({int(k) for mask in masks for k in np.unique(mask) if k > 0}), classes)
    return figure


def _legend(figure: Figure, shown: Sequence[int], classes: Sequence[str]) -> None:
    """Names the colours of the classes of the masks, below the photos."""
    from matplotlib.patches import Patch

    colours = ([part / 255 for part in of_class(k)] for k in shown[:_NAMED])
    patches = [Patch(color=c, alpha=0.6, label=for_figure(classes[k])) for k, c in zip(shown, colours, strict=False)]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, max(1, len(patches))), fontsize="small")
