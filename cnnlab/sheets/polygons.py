"""The connected shapes of a class map as polygons, found strip by strip: neither map nor labels are held whole."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cnnlab.sheets.maps import NODATA_CLASS

_PIXELS = 1 << 19  # looked at together, in whole rows
_NOTHING = 0  # in a strip, whose classes count from 1
_Corner = tuple[int, int]  # column and row


class Shape(NamedTuple):
    """Pixels of one class that touch by their sides.

    Attributes:
      kind: index of the class.
      pixels: how many.
      means: over them, by the map's name.
      rings: corners `[n, 2]` as column and row, closed, the outer one first, clockwise with rows downwards; holes run
        the other way.
    """

    kind: int
    pixels: int
    means: dict[str, float]
    rings: list[np.ndarray]


def polygons(
    mask: np.ndarray, maps: Mapping[str, np.ndarray], *, smallest: int = 1, background: int | None = 0
) -> Iterator[Shape]:
    """Every connected shape of every class but the background.

    Memory holds the borders of all shapes, about 300 bytes a corner of the largest one.

    Args:
      mask: class indices `[H, W]`; `NODATA_CLASS` is no class. A memory map is read by strips.
      maps: what the shapes' means are taken of, `[bands, H, W]`: of one band that, of several the one of the shape's
        class. One band of `mean` is the second class's probability; the first one's is the rest to 1.
      smallest: shapes of fewer pixels are left out.
      background: the class without shapes; all have them if None.

    >>> mask = np.array([[0, 1, 1], [0, 1, 2]])
    >>> [(shape.kind, shape.pixels, shape.rings[0].tolist()) for shape in polygons(mask, {})]
    [(1, 3, [[1, 0], [3, 0], [3, 1], [2, 1], [2, 2], [1, 2], [1, 0]]), (2, 1, [[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]])]
    """
    left_out = [NODATA_CLASS] if background is None else [NODATA_CLASS, background]
    parent, sums, kinds = [0], [np.zeros((1, 1 + len(maps)))], [np.zeros(1, int)]
    runs: list[np.ndarray] = []
    width = mask.shape[1]
    above = labels_above = np.zeros(width, np.int32)
    height = max(1, _PIXELS // width)
    for start in range(0, len(mask), height):
        strip = np.array(mask[start : start + height], np.int32)
        strip = np.where(np.isin(strip, left_out), _NOTHING, strip + 1)
        labels, kind = _label(strip, len(parent))
        parent += range(len(parent), len(parent) + len(kind))
        kinds.append(kind)
        sums.append(_sums(labels, strip, {name: map[:, start : start + height] for name, map in maps.items()}, kind))
        touching = (strip[0] == above) & (above != _NOTHING)
        for a, b in set(zip(labels_above[touching].tolist(), labels[0][touching].tolist(), strict=True)):
            _join(parent, a, b)
        runs.append(_runs(np.vstack([above, strip]), np.vstack([labels_above, labels]), start))
        above, labels_above = strip[-1], labels[-1]
    bottom = np.zeros(width, np.int32)
    runs.append(_runs(np.vstack([above, bottom]), np.vstack([labels_above, bottom]), len(mask)))
    roots = np.array([_root(parent, label) for label in range(len(parent))])
    total = np.zeros((len(parent), 1 + len(maps)))
    np.add.at(total, roots, np.concatenate(sums))
    yield from _shapes(np.concatenate(runs), roots, total, np.concatenate(kinds), list(maps), smallest)


def _label(strip: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels `[h, w]` of a strip's shapes, counted from `first`, and the class of each; 0 is the rest."""
    labels, kinds = np.zeros(strip.shape, np.int32), []
    for kind in np.unique(strip[strip != _NOTHING]).tolist():
        found, number = ndimage.label(strip == kind)
        labels[found > 0] = found[found > 0] + (first + len(kinds) - 1)
        kinds += [kind - 1] * number
    return labels, np.array(kinds, int)


def _sums(labels: np.ndarray, strip: np.ndarray, maps: Mapping[str, np.ndarray], kind: np.ndarray) -> np.ndarray:
    """Pixels of each label of a strip, and what the maps sum to over them, `[labels, 1 + maps]`."""
    inside = labels > 0
    where = labels[inside] - (labels[inside].min() if inside.any() else 0)
    columns = [np.bincount(where, minlength=len(kind))]
    for name, map in maps.items():
        bands = np.array(map)
        if name == "mean" and len(bands) == 1:
            bands = np.stack([1 - bands[0], bands[0]])
        picked = bands[0] if len(bands) == 1 else np.take_along_axis(bands, np.maximum(strip - 1, 0)[None], 0)[0]
        columns.append(np.bincount(where, picked[inside].astype(float), minlength=len(kind)))
    return np.stack(columns, -1)


def _runs(values: np.ndarray, labels: np.ndarray, top: int) -> np.ndarray:
    """Straight borders `[n, 5]`: label and the corners x, y it leads from and to, its shape on the right-hand side.

    Args:
      values: classes `[1 + h, w]`, the row above the strip first.
      labels: of the shapes.
      top: the strip's first row on the sheet.
    """
    out = []
    differ = values[:-1] != values[1:]
    for y, first, last, label in _stretches(differ, labels[1:]):
        out.append((label, first, y + top, last, y + top))
    for y, first, last, label in _stretches(differ, labels[:-1]):
        out.append((label, last, y + top, first, y + top))
    wide, wide_labels = (np.pad(array[1:], ((0, 0), (1, 1))).T for array in (values, labels))
    differ = wide[:-1] != wide[1:]
    for x, first, last, label in _stretches(differ, wide_labels[1:]):
        out.append((label, x, last + top, x, first + top))
    for x, first, last, label in _stretches(differ, wide_labels[:-1]):
        out.append((label, x, first + top, x, last + top))
    return np.array(out, int).reshape(-1, 5)


def _stretches(differ: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Row, first and last + 1 column, and label of all stretches of a row on which `differ` and the label stay."""
    marked = np.pad(np.where(differ, labels, 0), ((0, 0), (1, 1)))
    change = marked[:, 1:] != marked[:, :-1]
    rows, first = np.nonzero(change & (marked[:, 1:] > 0))
    last = np.nonzero(change & (marked[:, :-1] > 0))[1]
    return zip(rows.tolist(), first.tolist(), last.tolist(), marked[rows, first + 1].tolist(), strict=True)


def _shapes(runs, roots, total, kinds, names: Sequence[str], smallest: int) -> Iterator[Shape]:
    owner = roots[runs[:, 0]]
    order = np.argsort(owner, kind="stable")
    runs, owner = runs[order, 1:], owner[order]
    for label, first in zip(*np.unique(owner, return_index=True), strict=True):
        pixels, *summed = total[label].tolist()
        if pixels < smallest:
            continue
        last = np.searchsorted(owner, label, side="right")
        rings = sorted(_rings(runs[first:last]), key=_area, reverse=True)
        means = {name: value / pixels for name, value in zip(names, summed, strict=True)}
        yield Shape(int(kinds[label]), int(pixels), means, rings)


def _rings(runs: np.ndarray) -> Iterator[np.ndarray]:
    """Borders of one shape, tied into closed rings."""
    leaving: dict[_Corner, list[_Corner]] = defaultdict(list)
    for x, y, to_x, to_y in runs.tolist():
        leaving[x, y].append((to_x, to_y))
    for start in list(leaving):
        while start in leaving:
            yield _ring(leaving, start)


def _ring(leaving: dict[_Corner, list[_Corner]], start: _Corner) -> np.ndarray:
    """Follows one border until it comes back to its start, and takes it out of those that leave a corner."""
    at, corners, heading = start, [], None
    while heading is None or at != start:
        ways = leaving[at]
        to = ways[0]
        if heading and len(ways) > 1:
            # Two pixels of the shape meet at a corner: the border crosses over to the other one, to the left. A hole
            # may then touch the outer ring, but no ring touches itself.
            to = next(way for way in ways if _heading(at, way) == (heading[1], -heading[0]))
        ways.remove(to)
        if not ways:
            del leaving[at]
        turned = _heading(at, to)
        if heading != turned:
            corners.append(at)
        heading, at = turned, to
    if _heading(corners[0], corners[1]) == heading:  # it began in the middle of a side
        corners = corners[1:]
    return np.array([*corners, corners[0]])


def _heading(start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    return (end[0] > start[0]) - (end[0] < start[0]), (end[1] > start[1]) - (end[1] < start[1])


def _area(ring: np.ndarray) -> float:
    """Positive for a ring that runs clockwise, rows downwards."""
    (x, y), (to_x, to_y) = ring[:-1].T, ring[1:].T
    return float((x * to_y - to_x * y).sum() / 2)


def _root(parent: list[int], label: int) -> int:
    while parent[label] != label:
        parent[label] = label = parent[parent[label]]
    return label


def _join(parent: list[int], a: int, b: int) -> None:
    a, b = _root(parent, a), _root(parent, b)
    parent[max(a, b)] = min(a, b)
