"""Sheets of what units respond to: tiles of one size on a white page, with a label above each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ORANGE, _BLUE = np.array([213, 94, 0]) / 255, np.array([0, 114, 178]) / 255  # Okabe and Ito's
_DPI = 120
_TILE, _SMALL = 60, 40  # pixels of the longer side of a tile, and of a patch
_WIDTH = 1100  # pixels of a page
_BARS, _BAR = 40, 130  # bars in a row, and pixels of the height of a row
_LABEL, _LINE, _GAP, _SEAM = 17, 21, 12, 2  # pixels of a label, a line of the title, and between blocks and tiles

Scale = Literal["unit", "layer"]


class Unit(NamedTuple):
    """What one unit responds to.

    Attributes:
      label: line above its block.
      patches: patches `[n, h, w, C]` that excite it most, uint8 or in [0, 1].
      patterns: deconvolved patterns `[n, h, w, C]`, signed; None for a block without them.
      image: image `[H, W, C]` that was made for it; None for a block without it.
      marked: whether the label is orange, as for a unit that never fires.
    """

    label: str
    patches: np.ndarray
    patterns: np.ndarray | None = None
    image: np.ndarray | None = None
    marked: bool = False


def tile_sheet(tiles: Sequence[np.ndarray], labels: Sequence[str], *, title: str, scale: Scale = "unit") -> Figure:
    """Draws signed tiles, such as filters or the feature maps of an image; orange is positive, blue negative.

    Args:
      tiles: each `[h, w]`, or `[h, w, 3]` with the weights of three colours, for which grey is 0. A tile `[h, w, C]`
        of uint8 is an image and stays as it is.
      labels: a label for each tile.
      title: lines above the tiles.
      scale: whether the largest size is that of each tile alone (`unit`) or of all tiles (`layer`).
    """
    return _page([_framed(_enlarged(each, _TILE)) for each in _coloured(tiles, scale)], labels, title=title)


def pair_sheet(
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    labels: Sequence[str],
    *,
    title: str,
    scale: Scale = "unit",
) -> Figure:
    """Draws pairs of tiles, such as filters before and after training; both tiles of a pair have one scale.

    The arguments are those of `tile_sheet`.
    """
    pairs = _coloured([np.stack(pair) for pair in zip(before, after, strict=True)], scale, depth=4)
    blocks = [_beside([_framed(_enlarged(each, _TILE)) for each in pair]) for pair in pairs]
    return _page(blocks, labels, title=title)


def bar_sheet(values: np.ndarray, labels: Sequence[str], *, title: str, image: np.ndarray) -> Figure:
    """Draws an image `[H, W, C]` and a bar for each of n values, in rows; orange is positive, blue negative.

    Args:
      values: `[n]`.
      labels: a label for each bar.
      title: lines above the bars.
      image: the image that the values belong to, uint8.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(values) // _BARS)
    each = -(-len(values) // rows)
    lines, letters = title.splitlines(), max(map(len, labels))
    top, low = _LINE * len(lines) + 2 * _GAP, _GAP + 6 * letters  # pixels of the title, and of upright labels
    picture, left = _enlarged(_natural(image), 2 * _TILE), 2 * _TILE + 70
    height, width = top + max(rows * (_BAR + low), len(picture) + _GAP), left + max(17 * each, 430) + _GAP
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    for number, line in enumerate(lines):
        style = {"fontsize": 9 if number == 0 else 7.5, "fontweight": "bold" if number == 0 else "normal"}
        figure.text(_GAP / width, 1 - (_LINE * number + _GAP) / height, for_figure(line), va="center", **style)
    place = _GAP, height - top - len(picture), picture.shape[1], len(picture)
    axis = figure.add_axes((place[0] / width, place[1] / height, place[2] / width, place[3] / height))
    axis.imshow(np.clip(picture, 0, 1), interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    ends = min(0.0, float(values.min())), max(0.0, float(values.max()))
    margin = 0.05 * ((ends[1] - ends[0]) or 1)
    for row in range(rows):
        part = values[row * each : (row + 1) * each]
        bottom = height - top - row * (_BAR + low) - _BAR
        right = (width - left - _GAP) * len(part) / each
        axis = figure.add_axes((left / width, bottom / height, right / width, _BAR / height))
        axis.bar(range(len(part)), part, color=[_ORANGE if value > 0 else _BLUE for value in part])
        axis.axhline(0, color="black", linewidth=0.5)
        axis.set_xlim(-0.6, len(part) - 0.4)
        axis.set_ylim(ends[0] - margin, ends[1] + margin)
        names = [for_figure(label) for label in labels[row * each : (row + 1) * each]]
        axis.set_xticks(range(len(part)), names, rotation=90, fontsize=6.5)
        axis.tick_params(length=0)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.tick_params("y", labelsize=6.5, length=2)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def unit_sheet(units: Sequence[Unit], *, title: str) -> Figure:
    """Draws for each unit its patches, their deconvolved patterns, and the image that was made for it.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, figure 2.

    Args:
      units: the units.
      title: lines above them.
    """
    blocks = []
    for unit in units:
        parts = [_mosaic(_natural(unit.patches))]
        if unit.patterns is not None:
            parts.append(_mosaic([_grey_is_zero(each) for each in unit.patterns]))
        if unit.image is not None:
            parts.append(_enlarged(_natural(unit.image), max(parts[0].shape[:2])))
        blocks.append(_beside(parts))
    return _page(blocks, [unit.label for unit in units], title=title, marked=[unit.marked for unit in units])


def signed_colours(values: np.ndarray, largest: float) -> np.ndarray:
    """Returns colours `[..., 3]` of signed values: white is 0, orange `largest`, blue its negative.

    >>> signed_colours(np.array([0.0, 2.0]), 2.0).round(2).tolist()
    [[1.0, 1.0, 1.0], [0.84, 0.37, 0.0]]
    """
    share = np.clip(np.abs(values) / largest, 0, 1)[..., None] if largest > 0 else np.zeros((*values.shape, 1))
    return 1 - share * (1 - np.where(values[..., None] >= 0, _ORANGE, _BLUE))


def _coloured(tiles: Sequence[np.ndarray], scale: Scale, *, depth: int = 3) -> list[np.ndarray]:
    """Returns tiles as RGB; those with `depth` axes, of which the last has length 3, are weights of colours."""
    largest = max(float(np.abs(tile).max()) for tile in tiles if tile.dtype != np.uint8)
    out = []
    for tile in tiles:
        size = largest if scale == "layer" else float(np.abs(tile).max())
        if tile.dtype == np.uint8:
            out.append(_natural(tile))
        elif tile.shape[-1] == 3 and tile.ndim == depth:
            out.append(0.5 + tile / (2 * size or 1))
        else:
            out.append(signed_colours(tile, size))
    return out


def _natural(images: np.ndarray) -> np.ndarray:
    """Returns images `[..., h, w, C]` as RGB in [0, 1]."""
    images = images / 255 if images.dtype == np.uint8 else np.clip(images, 0, 1)
    return images if images.shape[-1] == 3 else np.repeat(images.mean(-1, keepdims=True), 3, -1)


def _grey_is_zero(pattern: np.ndarray) -> np.ndarray:
    """Returns a signed pattern `[h, w, C]` as RGB, with its largest size black or white."""
    largest = np.abs(pattern).max()
    return _natural(0.5 + pattern / (2 * largest if largest > 0 else 1))


def _enlarged(tile: np.ndarray, side: int) -> np.ndarray:
    """Resizes a tile `[h, w, 3]` to about `side` pixels along its longer side; pixels become squares of one size."""
    longer = max(tile.shape[:2])
    factor = max(1, round(side / longer)) if longer <= side else side / longer
    rows, columns = (_averaging(n, max(1, round(n * factor))) for n in tile.shape[:2])
    return np.einsum("yi,ijc,xj->yxc", rows, tile, columns, optimize=True)


def _framed(tile: np.ndarray) -> np.ndarray:
    """Returns a tile with a thin grey frame, which shows where it ends if zeros are white."""
    return np.pad(tile, ((1, 1), (1, 1), (0, 0)), constant_values=0.8)


def _averaging(before: int, after: int) -> np.ndarray:
    """Returns the weights `[after, before]` by which pixels are averaged over the pixels of another resolution."""
    edges = np.arange(after + 1) * before / after
    first, last = edges[:-1, None], edges[1:, None]
    overlap = np.minimum(last, np.arange(before) + 1) - np.maximum(first, np.arange(before))
    return np.clip(overlap, 0, None) * after / before


def _mosaic(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Arranges tiles in a square of rows, white where there are none left."""
    tiles = [_enlarged(tile, _SMALL) for tile in tiles]
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = [_beside(tiles[start : start + columns], seam=_SEAM) for start in range(0, len(tiles), columns)]
    width = rows[0].shape[1]
    padded = [np.pad(row, ((0, _SEAM), (0, width - row.shape[1]), (0, 0)), constant_values=1) for row in rows]
    return np.concatenate(padded)[:-_SEAM]


def _beside(tiles: Sequence[np.ndarray], *, seam: int = 5) -> np.ndarray:
    """Puts tiles side by side, aligned at their upper edge."""
    height = max(len(tile) for tile in tiles)
    padded = [np.pad(tile, ((0, height - len(tile)), (0, seam), (0, 0)), constant_values=1) for tile in tiles]
    return np.concatenate(padded, 1)[:, :-seam]


def _page(
    blocks: Sequence[np.ndarray], labels: Sequence[str], *, title: str, marked: Sequence[bool] | None = None
) -> Figure:
    """Draws blocks of RGB pixels in rows on one page, pixel for pixel, with a label above each."""
    from matplotlib.figure import Figure

    lines, letters = title.splitlines(), max(map(len, labels))
    height, width = (max(block.shape[axis] for block in blocks) for axis in (0, 1))
    width = max(width, 6 * letters)  # of a letter
    rows = -(-len(blocks) // max(1, (_WIDTH - _GAP) // (width + _GAP)))
    columns, top = -(-len(blocks) // rows), _LINE * len(lines) + _GAP
    across = max(columns * (width + _GAP) + _GAP, 2 * _GAP + 7 * max(map(len, lines), default=0))
    page = np.ones((top + rows * (height + _LABEL + _GAP), across, 3), np.float32)
    figure = Figure(figsize=(page.shape[1] / _DPI, page.shape[0] / _DPI), dpi=_DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    for number, line in enumerate(lines):
        style = {"fontsize": 9 if number == 0 else 7.5, "fontweight": "bold" if number == 0 else "normal"}
        axis.text(_GAP, _LINE * number + _GAP, for_figure(line), va="center", **style)
    for number, (block, label) in enumerate(zip(blocks, labels, strict=True)):
        y = top + number // columns * (height + _LABEL + _GAP)
        x = _GAP + number % columns * (width + _GAP)
        page[y + _LABEL : y + _LABEL + len(block), x : x + block.shape[1]] = block
        colour = "#d55e00" if marked is not None and marked[number] else "black"
        axis.text(x, y + _LABEL / 2, for_figure(label), fontsize=6.5, va="center", color=colour)
    axis.imshow(
        np.clip(page, 0, 1), interpolation="nearest", aspect="auto", extent=(0, page.shape[1], page.shape[0], 0)
    )
    return figure
