"""Draws strips with the characters that were read, each under its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab.colours import BLUE, GREEN, ORANGE
from cnnlab.plots.canvas import new_figure, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SURE = 0.9
"""Characters below this confidence are drawn in another colour."""


class Reading(NamedTuple):
    """A strip with what was read.

    Attributes:
      image: the strip `[H, W, C]`, uint8 or in [0, 1].
      characters: each character with its first and last column in pixels and its confidence.
      truth: the true string.
      confidence: confidence of the whole string.
    """

    image: np.ndarray
    characters: Sequence[tuple[str, float, float, float]]
    truth: str
    confidence: float


def readings(drawn: Sequence[Reading], *, title: str = "", columns: int = 2) -> Figure:
    """Draws strips in rows, with a bar and the character under the columns of each, and a common `title` above.

    Characters of a confidence below `SURE` are orange. The truth stands beside a string that is wrong.
    """
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = new_figure(rows, columns, size=(4.2 * columns, 0.95 * rows + 0.4))
    figure.suptitle(title, fontsize="medium")
    for axis in axes.flat:
        axis.axis("off")
    for axis, (image, characters, truth, confidence) in zip(axes.flat, drawn, strict=False):
        show(axis, image)
        height = image.shape[0]
        axis.set_ylim(1.6 * height, -0.5)
        for character, left, right, sure in characters:
            colour = BLUE if sure >= SURE else ORANGE
            axis.plot((left, max(right - 1, left)), (1.08 * height, 1.08 * height), color=colour, linewidth=2)
            middle = (left + right - 1) / 2
            style = {"ha": "center", "va": "top", "color": colour, "fontsize": "small"}
            axis.text(middle, 1.12 * height, for_figure(character), **style)
        right = "".join(character for character, *_ in characters) == truth
        text = f"p = {confidence:.2f}" if right else f"true {truth or 'empty'}, p = {confidence:.2f}"
        axis.set_title(for_figure(text), fontsize="small", color=GREEN if right else ORANGE)
    return figure
