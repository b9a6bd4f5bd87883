"""Polygons with holes as one ring, for formats whose polygons have none."""

from collections.abc import Sequence

import numpy as np


def keyhole(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Joins the holes of a polygon to its outer ring by cuts, which run to the hole and back along the same line.

    A cut joins the two nearest corners. Because it is passed in both directions, it changes neither the area nor the
    pixels inside, wherever it lies.

    Args:
      rings: closed rings `[n, 2]` with the outer one first, as `cnnlab.geometry.polygons.Shape` has them.

    Returns:
      One open ring `[m, 2]`: the last corner is joined to the first.

    >>> square = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]])
    >>> hole = np.array([[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]])
    >>> keyhole([square, hole]).tolist()
    [[0, 0], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 0], [4, 0], [4, 4], [0, 4]]
    """
    from scipy.spatial import KDTree

    outer, *holes = (ring[:-1] for ring in rings)
    joined = outer
    for hole in sorted(holes, key=lambda ring: ring[:, 0].min()):
        distance, nearest = KDTree(joined).query(hole)
        start = int(distance.argmin())
        at = int(nearest[start])
        turned = np.roll(hole, -start, axis=0)
        joined = np.concatenate([joined[: at + 1], turned, turned[:1], joined[at:]])
    return joined
