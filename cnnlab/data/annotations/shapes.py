"""Polygons of the shapes that annotation tools draw: rectangles, circles, ellipses and lines with a width."""

import itertools
import math
from collections.abc import Sequence

from cnnlab.data.annotations.record import polygons
from cnnlab.geometry.outlines import Polygons

CORNERS = 72  # of the polygon of a circle or an ellipse, one every 5 degrees

Points = Sequence[Sequence[float]]


def rectangle(x: float, y: float, width: float, height: float, degrees: float = 0) -> Polygons:
    """Returns a rectangle whose upper left corner is at x, y, turned clockwise about it.

    >>> rectangle(1, 2, 3, 4).parts[0].tolist()
    [[1.0, 2.0], [4.0, 2.0], [4.0, 6.0], [1.0, 6.0]]
    """
    c, s = (1.0, 0.0) if degrees == 0 else (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return polygon([(x + c * u - s * v, y + s * u + c * v) for u, v in corners])


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Polygons:
    """Returns an ellipse about x, y as a polygon of 72 corners, turned clockwise."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    angles = [2 * math.pi * i / CORNERS for i in range(CORNERS)]
    places = [(radius_x * math.cos(angle), radius_y * math.sin(angle)) for angle in angles]
    return polygon([(x + c * u - s * v, y + s * u + c * v) for u, v in places])


def polygon(points: Points) -> Polygons | None:
    """Returns the polygon of these corners; None for fewer than three, which have no area."""
    return polygons([[number for point in points for number in point]])


def line(points: Points, width: float) -> Polygons | None:
    """Returns a line through points with a width in pixels: a rectangle a segment, and a disc at each bend.

    >>> line([[0, 0], [4, 0]], 2).parts[0].tolist()
    [[0.0, 1.0], [4.0, 1.0], [4.0, -1.0], [0.0, -1.0]]
    """
    parts = []
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        if length := math.hypot(x2 - x1, y2 - y1):
            u, v = -(y2 - y1) / length * width / 2, (x2 - x1) / length * width / 2
            parts.append([x1 + u, y1 + v, x2 + u, y2 + v, x2 - u, y2 - v, x1 - u, y1 - v])
    parts += [ellipse(x, y, width / 2, width / 2).parts[0].ravel().tolist() for x, y in points[1:-1]]
    return polygons(parts)
