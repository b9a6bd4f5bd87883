"""Watershed that divides a sheet into shapes between walls, so that a gap in an outline does not join two shapes."""

from collections.abc import Sequence

import numpy as np

from cnnlab.geometry.polygons import NODATA_CLASS
from cnnlab.metrics.segmentation.panoptic import basins, require_watershed, shapes

MAX_PIXELS = 1 << 27
"""Largest number of pixels of a sheet, because it is flooded in one piece with about 30 bytes of memory per pixel."""


def check_watershed(level: float, background: str, classes: Sequence[str], size: tuple[int, int]) -> None:
    """Checks the arguments of the watershed before any window is predicted.

    Raises:
      ValueError: the level is no probability, the background is no class, the sheet is too large, or scikit-image is
        missing.
    """
    if not 0 < level < 1:
        raise ValueError(f"watershed must be a probability between 0 and 1, below which a basin begins, found {level}")
    if background not in classes:
        raise ValueError(
            f"a watershed needs the class of its walls, found background {background!r}; name it: --background "
            f"{' or '.join(classes)}"
        )
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"a sheet of {size[0]}×{size[1]} pixels is too large for a watershed, which floods at most "
            f"{MAX_PIXELS:,} pixels in one piece; leave --watershed out, or cut the sheet"
        )
    require_watershed()


def basin_classes(mean: np.ndarray, background: int, level: float, *, smallest: int) -> np.ndarray:
    """Computes the class map `[H, W]` of basins, which pixels of the background class separate.

    No two basins share a pixel side. A basin gets the class, other than the background, with the largest sum of
    probabilities inside it.

    Args:
      mean: probabilities `[bands, H, W]`, possibly on disk; two classes have one band, for the second class. Pixels
        without data are NaN.
      background: index of the class of the walls.
      level: probability of the walls below which a basin begins.
      smallest: number of connected pixels below `level` that a basin needs to begin.

    >>> p = np.array([[[0.1, 0.0, 0.4, 0.6, 0.3, 0.0]] * 2])  # probability of the wall, the second class
    >>> basin_classes(p, 1, 0.2, smallest=1)[0].tolist()
    [0, 0, 0, 1, 0, 0]
    """
    two = len(mean) == 1
    wall = mean[0 if two else background][:]
    wall = 1 - wall if two and background == 0 else wall
    labels = _largest_parts(basins(wall, level, min_size=smallest, lines=True))
    kinds, best = np.full(labels.max() + 1, background, np.uint8), np.full(labels.max() + 1, -1.0)
    for kind in range(2 if two else len(mean)):
        if kind != background:
            sums = np.bincount(labels.ravel(), None if two else np.nan_to_num(mean[kind][:]).ravel())
            kinds, best = np.where(sums > best, kind, kinds), np.maximum(sums, best)
    kinds[0] = background
    return np.where(np.isnan(wall), NODATA_CLASS, kinds[labels]).astype(np.uint8)


def _largest_parts(labels: np.ndarray) -> np.ndarray:
    """Removes the small parts that watershed lines cut off from basins, and keeps the largest part of each."""
    parts = shapes(labels > 0)
    sizes = np.bincount(parts.ravel())
    owner, largest = np.zeros(len(sizes), int), np.zeros(labels.max() + 1, int)
    owner[parts.ravel()] = labels.ravel()
    np.maximum.at(largest, owner, sizes)
    return np.where((sizes == largest[owner])[parts], labels, 0)
