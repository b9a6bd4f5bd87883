"""Figures as the pictures of a page: shapes where they are small, pixels where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnlab.files.figures import png_bytes, svg_bytes, without_formulas
from cnnlab.reports.content import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_SHAPES = 200_000  # bytes of an SVG file
_SCREEN_DPI, _DPI, _MOST_PIXELS = 96, 144, 2000


def picture(name: str, figure: Figure, alt: str, caption: str = "") -> Picture:
    """Returns a figure as SVG, or as PNG if it holds images or its SVG is large.

    Args:
      name: name of the picture's file, without suffix.
      figure: matplotlib figure.
      alt: what it shows, for readers who do not see it.
      caption: how it is read.
    """
    from matplotlib.image import AxesImage

    without_formulas(figure)
    width = round(_SCREEN_DPI * figure.get_figwidth())
    if not figure.findobj(AxesImage):
        data = svg_bytes(figure)
        if len(data) <= _MOST_SHAPES:
            return Picture(name, alt, caption, data, "svg", width)
    dpi = min(_DPI, int(_MOST_PIXELS / max(figure.get_size_inches())))
    return Picture(name, alt, caption, png_bytes(figure, dpi=dpi), "png", width)
