"""Shapes of a sheet as basins between walls, so that a gap in an outline does not join two shapes."""

from collections.abc import Sequence

import numpy as np

from cnnlab.metrics.segmentation.panoptic import basins, require_watershed, shapes
from cnnlab.sheets.maps import NODATA_CLASS

MAX_PIXELS = 1 << 27
"""Of a sheet that is flooded in one piece, in about 30 bytes a pixel of memory."""


def check_watershed(level: float, background: str, classes: Sequence[str], size: tuple[int, int]) -> None:
    """Tells before all windows what would fail after them.

    Raises:
      ValueError: the level is no probability, no class is named as the walls, the sheet is too large, or scikit-image
        is missing.
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
            f"a sheet of {size[0]}×{size[1]} pixels is too large for a watershed, which floods up to {MAX_PIXELS:,} in "
            "one piece; leave --watershed out, or cut the sheet"
        )
    require_watershed()


def basin_classes(mean: np.ndarray, background: int, level: float, *, smallest: int) -> np.ndarray:
    """Classes `[H, W]` of basins that the background's pixels keep apart: no two of them touch by a side.

    A basin is of the class that is likeliest in it, the background apart.

    Args:
      mean: probabilities `[bands, H, W]`, one band for the second of two classes; NaN without data. May be on disk.
      background: the class of the walls.
      level: its probability below which a basin begins.
      smallest: pixels from which it does.

    >>> p = np.array([[[0.1, 0.0, 0.4, 0.6, 0.3, 0.0]] * 2])  # of the wall, the second class
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
    """Basins without the crumbs that lines cut off them."""
    parts = shapes(labels > 0)
    sizes = np.bincount(parts.ravel())
    owner, largest = np.zeros(len(sizes), int), np.zeros(labels.max() + 1, int)
    owner[parts.ravel()] = labels.ravel()
    np.maximum.at(largest, owner, sizes)
    return np.where((sizes == largest[owner])[parts], labels, 0)
