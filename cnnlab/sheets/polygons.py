"""Polygons of the connected shapes of a class map, computed strip by strip, with only unfinished shapes in memory."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse

from cnnlab.sheets.maps import NODATA_CLASS

_PIXELS = 1 << 19  # looked at together, in whole rows
_RUNS = 1 << 20  # straight borders that are collected before finished shapes are built from them
_NOTHING = 0  # in a strip, whose classes count from 1
_Corner = tuple[int, int]  # column and row


class Shape(NamedTuple):
    """A connected shape: pixels of one class that share sides.

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


class _Segments(NamedTuple):
    """Pieces of shapes by label; label 0 belongs to no shape.

    Attributes:
      kinds: `[labels]`, classes.
      sums: `[labels, 1 + maps]`, pixels and what the maps sum to over them.
      joined: `[n, 2]`, labels of one shape.
      runs: `[n, 5]`, straight borders: label and the corners x, y they lead from and to, its shape on the right-hand
        side.
    """

    kinds: np.ndarray
    sums: np.ndarray
    joined: np.ndarray
    runs: np.ndarray


def polygons(
    mask: np.ndarray, maps: Mapping[str, np.ndarray], *, smallest: int = 1, background: int | None = 0
) -> Iterator[Shape]:
    """Yields the polygon of every connected shape of every class but the background.

    Memory holds the borders of shapes that are not finished yet, about 300 bytes a corner of the largest one.

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
    empty, names = np.zeros(mask.shape[1], np.int32), list(maps)
    above = labels_above = empty
    parts, enough = [_nothing(len(maps), labels=1)], _RUNS
    height = max(1, _PIXELS // len(empty))
    for start in range(0, len(mask), height):
        strip = np.array(mask[start : start + height], np.int32)
        strip = np.where(np.isin(strip, left_out), _NOTHING, strip + 1)
        labels, kinds = _label(strip, sum(len(part.kinds) for part in parts))
        sums = _sums(labels, strip, {name: map[:, start : start + height] for name, map in maps.items()}, kinds)
        touching = (strip[0] == above) & (above != _NOTHING)
        joined = np.unique(np.stack([labels_above[touching], labels[0][touching]], -1), axis=0)
        borders = _runs(np.vstack([above, strip]), np.vstack([labels_above, labels]), start)
        parts.append(_Segments(kinds, sums, joined, borders))
        above, labels_above = strip[-1], labels[-1]
        if sum(len(part.runs) for part in parts) > enough:
            whole, open_below, labels_above = _settle(parts, labels_above)
            yield from _shapes(whole, names, smallest)
            parts = [open_below]
            enough = max(_RUNS, 2 * len(open_below.runs))  # so that what stays open is not gone through strip by strip
    borders = _runs(np.vstack([above, empty]), np.vstack([labels_above, empty]), len(mask))
    whole, *_ = _settle([*parts, _nothing(len(maps), labels=0)._replace(runs=borders)], empty)
    yield from _shapes(whole, names, smallest)


def _nothing(maps: int, *, labels: int) -> _Segments:
    return _Segments(np.zeros(labels, int), np.zeros((labels, 1 + maps)), np.zeros((0, 2), int), np.zeros((0, 5), int))


def _settle(parts: Sequence[_Segments], last: np.ndarray) -> tuple[_Segments, _Segments, np.ndarray]:
    """Separates finished shapes from those that reach the last row `[W]` of labels, and relabels that row."""
    segments = _Segments(*map(np.concatenate, zip(*parts, strict=True)))
    links = sparse.coo_array((np.ones(len(segments.joined), bool), segments.joined.T), 2 * segments.kinds.shape)
    number, shape = sparse.csgraph.connected_components(links, directed=False)  # numbered as their first labels
    kinds, sums = np.zeros(number, int), np.zeros((number, segments.sums.shape[1]))
    kinds[shape] = segments.kinds
    np.add.at(sums, shape, segments.sums)
    runs = np.column_stack([shape[segments.runs[:, 0]], segments.runs[:, 1:]])
    none = segments.joined[:0]
    stays = np.unique(np.append(shape[last], 0))
    going_on = np.isin(runs[:, 0], stays)
    open_below = _Segments(kinds[stays], sums[stays], none, runs[going_on])
    open_below.runs[:, 0] = np.searchsorted(stays, open_below.runs[:, 0])
    return (
        _Segments(kinds, sums, none, runs[~going_on]),
        open_below,
        np.searchsorted(stays, shape[last]).astype(np.int32),
    )


def _label(strip: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels `[h, w]` of a strip's shapes, counted from `first`, and the class of each; 0 is the rest."""
    labels, kinds = np.zeros(strip.shape, np.int32), []
    for kind in np.unique(strip[strip != _NOTHING]).tolist():
        segments, number = ndimage.label(strip == kind)
        labels[segments > 0] = segments[segments > 0] + (first + len(kinds) - 1)
        kinds += [kind - 1] * number
    return labels, np.array(kinds, int)


def _sums(labels: np.ndarray, strip: np.ndarray, maps: Mapping[str, np.ndarray], kind: np.ndarray) -> np.ndarray:
    """Counts the pixels of each label of a strip and sums the maps over them, `[labels, 1 + maps]`."""
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
    """Returns the straight borders of a strip, as in `_Segments`.

    Args:
      values: classes `[1 + h, w]`, the row above the strip first.
      labels: labels of the shapes.
      top: the strip's first row on the sheet.
    """
    differ = values[:-1] != values[1:]
    y, first, last, label = _stretches(differ, labels[1:])
    upper = label, first, y + top, last, y + top
    y, first, last, label = _stretches(differ, labels[:-1])
    lower = label, last, y + top, first, y + top
    wide, wide_labels = (np.pad(array[1:], ((0, 0), (1, 1))).T for array in (values, labels))
    differ = wide[:-1] != wide[1:]
    x, first, last, label = _stretches(differ, wide_labels[1:])
    left = label, x, last + top, x, first + top
    x, first, last, label = _stretches(differ, wide_labels[:-1])
    right = label, x, first + top, x, last + top
    return np.concatenate([np.stack(side, -1) for side in (upper, lower, left, right)])


def _stretches(differ: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns row, first column, last column + 1 and label of each stretch of equal `differ` and label."""
    marked = np.pad(np.where(differ, labels, 0), ((0, 0), (1, 1)))
    change = marked[:, 1:] != marked[:, :-1]
    rows, first = np.nonzero(change & (marked[:, 1:] > 0))
    last = np.nonzero(change & (marked[:, :-1] > 0))[1]
    return rows, first, last, marked[rows, first + 1].astype(int)


def _shapes(whole: _Segments, names: Sequence[str], smallest: int) -> Iterator[Shape]:
    """Yields the finished shapes in the order of their labels."""
    owner = whole.runs[:, 0]
    wanted = whole.sums[owner, 0] >= smallest
    order = np.argsort(owner[wanted], kind="stable")
    owner, runs = owner[wanted][order], whole.runs[wanted, 1:][order]
    for label, first in zip(*np.unique(owner, return_index=True), strict=True):
        last = np.searchsorted(owner, label, side="right")
        pixels, *summed = whole.sums[label].tolist()
        rings = sorted(_rings(runs[first:last]), key=_area, reverse=True)
        means = {name: value / pixels for name, value in zip(names, summed, strict=True)}
        yield Shape(int(whole.kinds[label]), int(pixels), means, rings)


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
    """Returns the signed area of a ring: positive if it runs clockwise, with rows downwards."""
    (x, y), (to_x, to_y) = ring[:-1].T, ring[1:].T
    return float((x * to_y - to_x * y).sum() / 2)
