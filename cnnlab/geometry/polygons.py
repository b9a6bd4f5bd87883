"""Polygons around the connected shapes of a class map, computed strip by strip to hold only unfinished shapes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy

NODATA_CLASS = 255
"""Value of a class map where there is no class, for example where a sheet has no data."""

_PIXELS = 1 << 19  # pixels of a strip, which consists of whole rows
_RUNS = 1 << 20  # number of straight borders to collect before finished shapes are built from them
_NOTHING = 0  # value of pixels without a shape in a strip; its classes count from 1
_Corner = tuple[int, int]  # column and row


class Shape(NamedTuple):
    """A connected shape: pixels of one class that share sides.

    Attributes:
      kind: index of the class.
      pixels: number of pixels.
      means: means over these pixels, by the name of the map.
      rings: closed rings, each with corners `[n, 2]` as column and row. The outer ring comes first and runs clockwise
        (with rows downwards); holes run the other way.
    """

    kind: int
    pixels: int
    means: dict[str, float]
    rings: list[np.ndarray]


class _Segments(NamedTuple):
    """Pieces of shapes, indexed by label; label 0 belongs to no shape.

    Attributes:
      kinds: class of each label, `[labels]`.
      sums: number of pixels of each label, and sums of the maps over them, `[labels, 1 + maps]`.
      joined: pairs of labels that belong to the same shape, `[n, 2]`.
      runs: straight borders `[n, 5]`: the label, then x and y of the first and of the last corner. The shape lies on
        the right-hand side.
    """

    kinds: np.ndarray
    sums: np.ndarray
    joined: np.ndarray
    runs: np.ndarray


def polygons(
    mask: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    smallest: int = 1,
    background: int | None = 0,
    left_out: Callable[[int], None] = lambda number: None,
) -> Iterator[Shape]:
    """Yields the polygon of every connected shape of every class but the background.

    Memory holds only the borders of unfinished shapes, about 300 bytes per corner of the largest shape.

    Args:
      mask: class indices `[H, W]`; `NODATA_CLASS` is no class. A memory map is read in strips.
      maps: maps `[bands, H, W]` of which the shapes get means. If a map has several bands, the mean is over the band of
        the shape's class. If `mean` has one band, it is the probability of the second class, and the first class gets
        1 minus it.
      smallest: number of pixels of the smallest shape; smaller ones are left out.
      background: class without shapes; None gives shapes to all classes.
      left_out: callback that gets the numbers of shapes smaller than `smallest`, which add up to all of them.

    >>> mask = np.array([[0, 1, 1], [0, 1, 2]])
    >>> [(shape.kind, shape.pixels, shape.rings[0].tolist()) for shape in polygons(mask, {})]
    [(1, 3, [[1, 0], [3, 0], [3, 1], [2, 1], [2, 2], [1, 2], [1, 0]]), (2, 1, [[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]])]
    """
    no_shapes = [NODATA_CLASS] if background is None else [NODATA_CLASS, background]
    empty, names = np.zeros(mask.shape[1], np.int32), list(maps)
    above = labels_above = empty
    parts, enough = [_no_segments(len(maps), labels=1)], _RUNS
    height = max(1, _PIXELS // len(empty))
    for start in range(0, len(mask), height):
        strip = np.array(mask[start : start + height], np.int32)
        strip = np.where(np.isin(strip, no_shapes), _NOTHING, strip + 1)
        labels, kinds = _label(strip, sum(len(part.kinds) for part in parts))
        sums = _sums(labels, strip, {name: map[:, start : start + height] for name, map in maps.items()}, kinds)
        touching = (strip[0] == above) & (above != _NOTHING)
        joined = np.unique(np.stack([labels_above[touching], labels[0][touching]], -1), axis=0)
        borders = _runs(np.vstack([above, strip]), np.vstack([labels_above, labels]), start)
        parts.append(_Segments(kinds, sums, joined, borders))
        above, labels_above = strip[-1], labels[-1]
        if sum(len(part.runs) for part in parts) > enough:
            whole, open_below, labels_above = _settle(parts, labels_above)
            yield from _shapes(whole, names, smallest, left_out)
            parts = [open_below]
            enough = max(_RUNS, 2 * len(open_below.runs))  # so that unfinished shapes are not visited at every strip
    borders = _runs(np.vstack([above, empty]), np.vstack([labels_above, empty]), len(mask))
    whole, *_ = _settle([*parts, _no_segments(len(maps), labels=0)._replace(runs=borders)], empty)
    yield from _shapes(whole, names, smallest, left_out)


def _no_segments(maps: int, *, labels: int) -> _Segments:
    return _Segments(np.zeros(labels, int), np.zeros((labels, 1 + maps)), np.zeros((0, 2), int), np.zeros((0, 5), int))


def _settle(parts: Sequence[_Segments], last: np.ndarray) -> tuple[_Segments, _Segments, np.ndarray]:
    """Separates finished shapes from those that reach the last row of labels `[W]`, and relabels that row.

    Returns:
      The segments of all shapes with the borders of finished ones, the segments of unfinished shapes, and the new row.
    """
    segments = _Segments(*map(np.concatenate, zip(*parts, strict=True)))
    links = scipy.sparse.coo_array((np.ones(len(segments.joined), bool), segments.joined.T), 2 * segments.kinds.shape)
    # Shapes are numbered in the order of their first labels.
    number, shape = scipy.sparse.csgraph.connected_components(links, directed=False)
    kinds, sums = np.zeros(number, int), np.zeros((number, segments.sums.shape[1]))
    kinds[shape] = segments.kinds
    np.add.at(sums, shape, segments.sums)
    runs = np.column_stack([shape[segments.runs[:, 0]], segments.runs[:, 1:]])
    no_pairs = segments.joined[:0]
    unfinished = np.unique(np.append(shape[last], 0))
    is_unfinished = np.isin(runs[:, 0], unfinished)
    open_below = _Segments(kinds[unfinished], sums[unfinished], no_pairs, runs[is_unfinished])
    open_below.runs[:, 0] = np.searchsorted(unfinished, open_below.runs[:, 0])
    return (
        _Segments(kinds, sums, no_pairs, runs[~is_unfinished]),
        open_below,
        np.searchsorted(unfinished, shape[last]).astype(np.int32),
    )


def _label(strip: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels `[h, w]` of a strip's shapes, counted from `first` (0 is no shape), and the class of each."""
    labels, kinds = np.zeros(strip.shape, np.int32), []
    for kind in np.unique(strip[strip != _NOTHING]).tolist():
        segments, number = scipy.ndimage.label(strip == kind)
        labels[segments > 0] = segments[segments > 0] + (first + len(kinds) - 1)
        kinds += [kind - 1] * number
    return labels, np.array(kinds, int)


def _sums(labels: np.ndarray, strip: np.ndarray, maps: Mapping[str, np.ndarray], kind: np.ndarray) -> np.ndarray:
    """Returns the number of pixels of each label of a strip, and the sums of the maps over them, as in `_Segments`."""
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
      values: classes `[1 + h, w]`; the first row is the one above the strip.
      labels: labels of the shapes, `[1 + h, w]`.
      top: index of the strip's first row on the sheet.
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


def _shapes(whole: _Segments, names: Sequence[str], smallest: int, left_out: Callable[[int], None]) -> Iterator[Shape]:
    """Yields the finished shapes in the order of their labels, and counts those that are too small."""
    owner = whole.runs[:, 0]
    left_out(int((whole.sums[np.unique(owner), 0] < smallest).sum()))
    large = whole.sums[owner, 0] >= smallest
    order = np.argsort(owner[large], kind="stable")
    owner, runs = owner[large][order], whole.runs[large, 1:][order]
    for label, first in zip(*np.unique(owner, return_index=True), strict=True):
        last = np.searchsorted(owner, label, side="right")
        pixels, *summed = whole.sums[label].tolist()
        rings = sorted(_rings(runs[first:last]), key=_area, reverse=True)
        means = {name: value / pixels for name, value in zip(names, summed, strict=True)}
        yield Shape(int(whole.kinds[label]), int(pixels), means, rings)


def _rings(runs: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the closed rings that the borders of one shape form."""
    leaving: dict[_Corner, list[_Corner]] = defaultdict(list)
    for x, y, to_x, to_y in runs.tolist():
        leaving[x, y].append((to_x, to_y))
    for start in list(leaving):
        while start in leaving:
            yield _ring(leaving, start)


def _ring(leaving: dict[_Corner, list[_Corner]], start: _Corner) -> np.ndarray:
    """Follows a border until it returns to its start, and removes its parts from `leaving`."""
    at, corners, heading = start, [], None
    while heading is None or at != start:
        ways = leaving[at]
        to = ways[0]
        if heading and len(ways) > 1:
            # Two pixels of the shape meet only at this corner. The border turns left, to the other pixel, so that a
            # hole may touch the outer ring, but no ring touches itself.
            to = next(way for way in ways if _heading(at, way) == (heading[1], -heading[0]))
        ways.remove(to)
        if not ways:
            del leaving[at]
        turned = _heading(at, to)
        if heading != turned:
            corners.append(at)
        heading, at = turned, to
    if _heading(corners[0], corners[1]) == heading:  # the start is not a corner
        corners = corners[1:]
    return np.array([*corners, corners[0]])


def _heading(start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    return (end[0] > start[0]) - (end[0] < start[0]), (end[1] > start[1]) - (end[1] < start[1])


def _area(ring: np.ndarray) -> float:
    """Returns the signed area of a ring: positive if it runs clockwise, with rows downwards."""
    (x, y), (to_x, to_y) = ring[:-1].T, ring[1:].T
    return float((x * to_y - to_x * y).sum() / 2)
