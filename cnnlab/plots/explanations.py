"""Draws explanations: maps laid over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.plots.canvas import new_figure, show
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 8  # images of a sheet


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
    pixels = np.asarray(image, np.float32) / (255 if np.asarray(image).dtype == np.uint8 else 1)
    grey = np.repeat(pixels.mean(-1, keepdims=True), 3, -1)
    values = np.asarray(values, np.float32)
    scale = float(np.abs(values).max()) if scale is None else scale
    share = np.clip(np.abs(values) / scale, 0, 1)[..., None] if scale > 0 else np.zeros((*values.shape, 1))
    colour = np.where(values[..., None] >= 0, _ORANGE, _BLUE)
    return np.rint(255 * (grey + share * (colour - grey))).astype(np.uint8)


_ORANGE, _BLUE = np.array([213, 94, 0]) / 255, np.array([0, 114, 178]) / 255  # Okabe and Ito's


def explanation_sheet(
    images: np.ndarray, maps: np.ndarray, spread: np.ndarray | None = None, titles: Sequence[str] = ()
) -> Figure:
    """Draws the first images in a row each: the image, the map laid over it, and its error bars.

    Args:
      images: `[B, H, W, C]`, uint8 or in [0, 1].
      maps: `[B, H, W]`.
      spread: `[B, H, W]`, standard deviation of the map.
      titles: one title an image.
    """
    number = min(len(images), _MOST)
    columns = 2 if spread is None else 3
    figure, axes = new_figure(number, columns, size=(1.8 * columns, 1.9 * number))
    for i, row in enumerate(axes):
        show(row[0], np.asarray(images[i]))
        row[0].set_title(for_figure(titles[i]) if titles else "image", fontsize=8)
        row[1].imshow(overlay_map(images[i], maps[i]))
        row[1].set_title("map", fontsize=8)
        if spread is not None:
            row[2].imshow(overlay_map(images[i], spread[i], scale=float(np.abs(np.asarray(maps[i])).max()) or None))
            row[2].set_title("standard deviation", fontsize=8)
        for axis in row:
            axis.axis("off")
    return figure
