"""Draws explanations: maps laid over images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnlab.plots.canvas import new_figure, rectangle_of, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORANGE, _BLUE = np.array([213, 94, 0]) / 255, np.array([0, 114, 178]) / 255  # Okabe and Ito's
_STYLE_OF_WARNING = {"color": "#b00020", "fontweight": "bold"}
_MOST = 8  # images of a sheet
_SMALL = 0.01  # probability below which a title shows no digits
_WIDTH = 108  # letters in a line of a sentence below three pictures
_COLUMNS = 6  # of a sheet of classes


class Panel(NamedTuple):
    """One map of an image.

    Attributes:
      title: what the map explains, by which method.
      sentence: what the scores say of the map.
      map: `[H, W]`.
      spread: `[H, W]`, standard deviation of the map; None without error bars.
      mark: box `[4]` xyxy in pixels or mask `[H, W]` that is outlined; None for nothing.
      over: over what the mean and the standard deviation are, such as `20 dropout passes`.
      flagged: whether the sentence warns of the map.
    """

    title: str
    sentence: str
    map: np.ndarray
    spread: np.ndarray | None = None
    mark: Any = None
    over: str = ""
    flagged: bool = False


def overlay_map(image: np.ndarray, values: np.ndarray, *, scale: float | None = None) -> np.ndarray:
    """Lays a map over a greyed image; the colour's strength is the size of the value.

    Orange raises the target, blue lowers it. A map that is zero everywhere leaves the image grey.

    Args:
      image: `[H, W, C]`, uint8 or in [0, 1].
      values: map `[H, W]`, signed or not.
      scale: value of full colour; by default the largest size in the map.

    Returns:
      `[H, W, 3]` uint8.

    >>> overlay_map(np.full((1, 2, 1), 128, np.uint8), np.array([[0.0, 2.0]])).tolist()
    [[[128, 128, 128], [213, 94, 0]]]
    """
    image, values = np.asarray(image), np.asarray(values, np.float32)
    grey = image.astype(np.float32).mean(-1, keepdims=True) / (255 if image.dtype == np.uint8 else 1)
    scale = float(np.abs(values).max()) if scale is None else scale
    share = np.clip(np.abs(values) / scale, 0, 1)[..., None] if scale > 0 else np.zeros((*values.shape, 1))
    colour = np.where(values[..., None] >= 0, _ORANGE, _BLUE)
    return np.rint(255 * (grey + share * (colour - grey))).astype(np.uint8)


def meaning_of_colours(maps: np.ndarray) -> str:
    """Says what the colours of maps mean, by whether they have a sign.

    >>> meaning_of_colours(np.array([0.0, 1.0]))
    'orange marks what counts for the answer'
    """
    signed = np.any(np.asarray(maps) < 0)
    return "orange speaks for the answer, blue against it" if signed else "orange marks what counts for the answer"


def explanation_sheet(
    images: np.ndarray,
    maps: np.ndarray,
    spread: np.ndarray | None = None,
    *,
    titles: Sequence[str],
    flagged: np.ndarray | None = None,
) -> Figure:
    """Draws the first images, two in a row: the image, the map laid over it, and its error bars.

    Args:
      images: `[B, H, W, C]`, uint8 or in [0, 1].
      maps: `[B, H, W]`.
      spread: `[B, H, W]`, standard deviation of the maps.
      titles: what each map explains.
      flagged: `[B]`, whether the verdict warns of a map; None without a verdict.
    """
    number, width = min(len(images), _MOST), 2 if spread is None else 3
    columns = width * min(number, 2)
    rows = -(-width * number // columns)
    figure, axes = new_figure(rows, columns, size=(1.8 * columns, 2.0 * rows + 0.3))
    for axis in axes.flat:
        axis.axis("off")
    shown = "" if number == len(images) else f"; {number} of {len(images):,} images"
    figure.suptitle(meaning_of_colours(maps) + shown, fontsize="small")
    for i, places in zip(range(number), axes.reshape(-1, width), strict=False):
        show(places[0], np.asarray(images[i]))
        panel = Panel("", "", np.asarray(maps[i]), None if spread is None else np.asarray(spread[i]))
        _draw_maps(places[1:], images[i], panel)
        warns = flagged is not None and bool(flagged[i])
        text = for_figure(titles[i]) + ("\ndo not trust it" if warns else "")
        places[1].set_title(text, fontsize="small", **(_STYLE_OF_WARNING if warns else {}))
        if spread is not None:
            places[2].set_title("standard deviation", fontsize="small")
    return figure


def panel_sheet(image: np.ndarray, panels: Sequence[Panel], *, title: str) -> Figure:
    """Draws an image and its maps, one below the other: each with what it explains and what its scores say.

    Args:
      image: `[H, W, C]`, uint8 or in [0, 1].
      panels: the maps.
      title: title of the figure.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(1 if panel.spread is None else 2 for panel in panels)
    figure = Figure(figsize=(2.1 * columns + 0.4, 2.75 * len(panels) + 0.3), layout="constrained", dpi=120)
    figure.suptitle(for_figure(title), fontsize="medium")
    rows = figure.subfigures(len(panels), 1, squeeze=False)[:, 0]
    for row, panel in zip(rows, panels, strict=True):
        row.suptitle(for_figure(panel.title), fontsize="small", fontweight="bold", x=0.02, ha="left")
        axes = row.subplots(1, columns, squeeze=False)[0]
        show(axes[0], np.asarray(image))
        _outline(axes[0], panel.mark)
        _draw_maps(axes[1:], image, panel)
        if panel.sentence:
            lines = textwrap.fill(for_figure(panel.sentence), round(_WIDTH * columns / 3))
            style = _STYLE_OF_WARNING if panel.flagged else {}
            row.supxlabel(lines, fontsize="x-small", x=0.02, ha="left", **style)
    return figure


def _draw_maps(axes: Sequence[Axes], image: np.ndarray, panel: Panel) -> None:
    """Draws a map and its spread, whose full colour is the map's largest value, so that both can be compared."""
    for axis in axes:
        axis.axis("off")
    largest = float(np.abs(panel.map).max())
    axes[0].imshow(overlay_map(image, panel.map))
    _outline(axes[0], panel.mark)
    if panel.spread is not None:
        axes[1].imshow(overlay_map(image, panel.spread, scale=largest))
        if panel.title:
            axes[0].set_title(f"mean of {panel.over}" if panel.over else "mean", fontsize="x-small")
            axes[1].set_title("standard deviation, in the same colours", fontsize="x-small")


def _outline(axis: Axes, mark: Any) -> None:
    """Outlines a box or a mask."""
    if mark is None:
        return
    if np.ndim(mark) == 1:
        from matplotlib.patches import Rectangle

        axis.add_patch(rectangle_of(Rectangle, mark, color="#009e73", linewidth=1.5))
    elif 0 < np.mean(mark) < 1:
        axis.contour(np.asarray(mark, float), levels=[0.5], colors="#009e73", linewidths=1)


def class_sheet(image: np.ndarray, maps: np.ndarray, titles: Sequence[str]) -> Figure:
    """Draws an image and the maps of its classes, the most probable first.

    Args:
      image: `[H, W, C]`, uint8 or in [0, 1].
      maps: `[k, H, W]`.
      titles: the title of each map, such as `cat, p = 0.25`.
    """
    columns = min(1 + len(maps), _COLUMNS)
    rows = -(-(1 + len(maps)) // columns)
    figure, axes = new_figure(rows, columns, size=(1.8 * columns, 2.1 * rows))
    for axis in axes.flat:
        axis.axis("off")
    show(axes[0, 0], np.asarray(image))
    for axis, values, title in zip(axes.flat[1:], maps, titles, strict=False):
        axis.imshow(overlay_map(image, values))
        axis.set_title(for_figure(title), fontsize="small")
    return figure


def probability_text(prob: float) -> str:
    """Returns a probability as a title shows it.

    >>> probability_text(0.254), probability_text(1e-6)
    ('p = 0.25', 'p < 0.01')
    """
    return f"p = {prob:.2f}" if prob >= _SMALL else f"p < {_SMALL}"


class Pair(NamedTuple):
    """An image and the maps of two answers.

    Attributes:
      image: `[H, W, C]`, uint8 or in [0, 1].
      first: name of the first answer.
      first_map: its map `[H, W]`.
      second: name of the second answer.
      second_map: its map `[H, W]`.
    """

    image: np.ndarray
    first: str
    first_map: np.ndarray
    second: str
    second_map: np.ndarray


def pair_sheet(pairs: Sequence[Pair], *, title: str) -> Figure:
    """Draws images with the maps of two answers beside each, two images in a row."""
    rows = -(-len(pairs) // 2)
    figure, axes = new_figure(rows, 6, size=(9.6, 1.8 * rows + 0.3))
    figure.suptitle(for_figure(title), fontsize="medium")
    for axis in axes.flat:
        axis.axis("off")
    for pair, places in zip(pairs, axes.reshape(-1, 3), strict=False):
        show(places[0], pair.image)
        for axis, name, values in zip(places[1:], pair[1::2], pair[2::2], strict=True):
            axis.imshow(overlay_map(pair.image, values))
            axis.set_title(for_figure(name), fontsize="small")
    return figure
