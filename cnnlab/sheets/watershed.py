"""A sheet's shapes as basins between walls, so that gaps in an outline do not join what lies beside it."""

import numpy as np

from cnnlab.metrics.panoptic import basins
from cnnlab.sheets.maps import NODATA_CLASS

LARGEST = 1 << 27
"""Pixels of a sheet that is flooded in one piece, in about 30 bytes a pixel of memory."""


def check_watershed(level: float, background: int | None, size: tuple[int, int]) -> None:
    """Tells before all windows what would fail after them.

    Raises:
      ValueError: the level is no probability, no class is the wall, the sheet is too large, or scikit-image is missing.
    """
    if not 0 < level < 1:
        raise ValueError(f"watershed must be a probability between 0 and 1, below which a basin begins, found {level}")
    if background is None:
        raise ValueError("a watershed needs a class as walls: name it as background (--background), not none")
    if size[0] * size[1] > LARGEST:
        raise ValueError(
            f"a sheet of {size[0]}×{size[1]} pixels is too large for a watershed, which floods up to {LARGEST:,} in "
            "one piece; leave --watershed out, or cut the sheet"
        )
    basins(np.zeros((1, 1)), level)  # scikit-image is there


def flooded(mean: np.ndarray, mask: np.ndarray, background: int, level: float, *, smallest: int) -> np.ndarray:
    """Classes `[H, W]` of basins that the background's pixels keep apart: no two of them touch by a side.

    Each basin is of the class that most of its pixels outside the background have in the mask.

    Args:
      mean: probabilities `[bands, H, W]`, one band for the second of two classes; NaN without data.
      mask: classes `[H, W]`.
      background: the class of the walls.
      level: its probability below which a basin begins.
      smallest: pixels from which it does.

    >>> p = np.array([[[0.1, 0.0, 0.4, 0.6, 0.3, 0.0]] * 2])  # of the wall, the second class; no pixel of it is sure
    >>> flooded(p, (p[0] > 0.7).astype(int), 1, 0.2, smallest=1)[0].tolist()
    [0, 0, 0, 1, 0, 0]
    """
    two = len(mean) == 1
    wall = 1 - mean[0] if two and background == 0 else mean[0 if two else background]
    wall = np.where(known := np.isfinite(wall), wall, 1)
    found = np.where(known, basins(wall, level, min_size=smallest, lines=True), 0)
    classes = max(2 if two else len(mean), background + 1)
    counts = np.bincount((found * classes + np.where(mask < classes, mask, background)).ravel())
    counts = np.append(counts, np.zeros(-len(counts) % classes, int)).reshape(-1, classes)
    counts[:, background] = -1
    shape = counts.argmax(1)[found]
    return np.where(known, np.where(found > 0, shape, background), NODATA_CLASS).astype(np.uint8)
