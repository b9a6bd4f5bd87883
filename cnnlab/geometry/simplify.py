"""Polygons with fewer corners and without stairs of pixels, which still meet their neighbours without gaps."""

import math
from collections.abc import Iterable

import numpy as np

from cnnlab.geometry.polygons import Shape


def simplified(shapes: Iterable[Shape], tolerance: float) -> list[Shape]:
    """Removes corners of shapes so that no two shapes overlap and common borders stay common.

    It removes the corner that forms the smallest triangle with its neighbours, again and again, as long as the
    triangle's area is at most `tolerance` squared and no borders would cross (Visvalingam and Whyatt, Line
    Generalisation by Repeated Elimination of Points, The Cartographic Journal 1993). Points at which three shapes meet
    stay. Memory holds all shapes, with every pixel of their borders.

    Args:
      shapes: shapes of `polygons`.
      tolerance: tolerance in pixels; 1 removes the stairs of slanted borders, 2 also most of the flat stairs.

    Returns:
      The shapes with other rings. Their number of pixels and their means are still those of the pixels.

    Raises:
      ValueError: the tolerance is no length, or shapely is not installed (extra `geo`).

    >>> stairs = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3], [0, 3], [0, 0]])
    >>> len(simplified([Shape(1, 6, {}, [stairs])], 1)[0].rings[0])
    5
    """
    check_tolerance(tolerance)
    shapes = list(shapes)
    if not shapes or tolerance == 0:
        return shapes
    shapely = require_shapely()
    # A border is common only if both of its shapes have the same points on it, so every pixel's corner becomes one.
    before = [shapely.Polygon(outer, holes) for outer, *holes in ([*map(_with_every_corner, s.rings)] for s in shapes)]
    after = shapely.coverage_simplify(before, tolerance)
    return [shape._replace(rings=_rings(polygon)) for shape, polygon in zip(shapes, after, strict=True)]


def check_tolerance(tolerance: float) -> None:
    """Raises `ValueError` if a tolerance is no length."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"simplify must be 0 or more pixels, found {tolerance}")


def require_shapely():
    """Returns the module shapely.

    Raises:
      ValueError: shapely is not installed, or too old.
    """
    try:
        import shapely

        shapely.coverage_simplify  # noqa: B018
    except (ImportError, AttributeError) as error:
        raise ValueError("simplified polygons need shapely 2.1 or newer: pip install 'cnnlab[geo]'") from error
    return shapely


def _with_every_corner(ring: np.ndarray) -> np.ndarray:
    """Adds the corners of all pixels along the straight borders of a ring `[n, 2]`."""
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).sum(1)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    along = np.arange(lengths.sum()) - first
    points = np.repeat(ring[:-1], lengths, 0) + along[:, None] * np.repeat(np.sign(steps), lengths, 0)
    return np.concatenate([points, ring[-1:]])


def _rings(polygon) -> list[np.ndarray]:
    """Returns the rings of a shapely polygon in the directions of `Shape`."""
    outer, *holes = (np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors))
    return [_turned(outer, 1), *(_turned(hole, -1) for hole in holes)]


def _turned(ring: np.ndarray, sign: int) -> np.ndarray:
    (x, y), (to_x, to_y) = ring[:-1].T, ring[1:].T
    return ring if sign * (x * to_y - to_x * y).sum() > 0 else ring[::-1]
