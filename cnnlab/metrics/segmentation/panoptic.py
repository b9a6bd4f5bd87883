"""Panoptic quality: which shapes match, and how well each is covered."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class PanopticCounts(NamedTuple):
    """Counts of matched, spurious and missed shapes, which add up over images (`merge`).

    Attributes:
      iou: sum of the IoU of matched shapes.
      matched: number of pairs of a predicted and a true shape.
      spurious: number of predicted shapes without a partner.
      missed: number of true shapes without a partner.
    """

    iou: float
    matched: int
    spurious: int
    missed: int

    def merge(self, other: PanopticCounts) -> PanopticCounts:
        """Adds two counts."""
        return PanopticCounts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def quality(self) -> float:
        """Returns `sum of IoU / (matched + (spurious + missed) / 2)`; NaN without any shape."""
        shapes = self.matched + (self.spurious + self.missed) / 2
        return self.iou / shapes if shapes else float("nan")

    @property
    def segmentation_quality(self) -> float:
        """Returns the mean IoU of the matched shapes; NaN without matched shapes."""
        return self.iou / self.matched if self.matched else float("nan")

    @property
    def recognition_quality(self) -> float:
        """Returns the F1 score of detecting shapes; NaN without any shape."""
        shapes = self.matched + (self.spurious + self.missed) / 2
        return self.matched / shapes if shapes else float("nan")


def panoptic_counts(
    guess: np.ndarray, truth: np.ndarray, *, min_size: int = 1, inside: np.ndarray | None = None
) -> PanopticCounts:
    """Matches and counts shapes whose IoU is above one half; each shape has at most one such partner.

    Source: Kirillov et al., Panoptic Segmentation, CVPR 2019.

    Args:
      guess: `[H, W]` number of the predicted shape of each pixel, 0 for none; see `shapes`.
      truth: `[H, W]` number of the true shape of each pixel, 0 for none.
      min_size: smallest number of pixels (inside) of a shape; smaller shapes are removed first, predicted and true.
      inside: `[H, W]` bool, pixels that count; by default all.

    Raises:
      ValueError: the shapes of the arrays differ.

    >>> counts = panoptic_counts(np.array([[1, 1, 1, 0, 2]]), np.array([[7, 7, 0, 0, 0]]))
    >>> counts.matched, counts.spurious, counts.missed, round(counts.quality, 4)  # (2 / 3) / 1.5
    (1, 1, 0, 0.4444)
    """
    guess, truth = (np.asarray(array).astype(np.int64) for array in (guess, truth))
    if guess.shape != truth.shape:
        raise ValueError(f"guess and truth must have one shape, found {list(guess.shape)} and {list(truth.shape)}")
    if inside is not None:
        inside = np.asarray(inside, bool)
        if inside.shape != guess.shape:
            raise ValueError(f"inside must be {list(guess.shape)}, as guess and truth, found {list(inside.shape)}")
        guess, truth = np.where(inside, guess, 0), np.where(inside, truth, 0)
    guess, guess_size = _numbered(guess, min_size)
    truth, truth_size = _numbered(truth, min_size)
    both = (guess > 0) & (truth > 0)
    pairs, common = np.unique(guess[both] * (len(truth_size) + 1) + truth[both], return_counts=True)
    i, j = np.divmod(pairs, len(truth_size) + 1)
    iou = common / (guess_size[i - 1] + truth_size[j - 1] - common)
    iou = iou[3 * common > guess_size[i - 1] + truth_size[j - 1]]  # IoU > 1/2, in whole numbers
    return PanopticCounts(float(iou.sum()), len(iou), len(guess_size) - len(iou), len(truth_size) - len(iou))


def shapes(mask: np.ndarray, *, corners: bool = False) -> np.ndarray:
    """Numbers the connected parts of a mask from 1, `[H, W]`; pixels outside the mask are 0.

    Args:
      mask: `[H, W]` bool.
      corners: whether pixels that share only a corner are connected.

    >>> shapes(np.array([[1, 0], [0, 1]])).tolist(), shapes(np.array([[1, 0], [0, 1]]), corners=True).tolist()
    ([[1, 0], [0, 2]], [[1, 0], [0, 1]])
    """
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    return ndimage.label(np.asarray(mask, bool), ndimage.generate_binary_structure(2, 2 if corners else 1))[0]


def basins(wall: np.ndarray, below: float, *, min_size: int = 1, lines: bool = False) -> np.ndarray:
    """Floods the parts of a relief below a level until they meet, which closes gaps in the walls between them.

    It uses scikit-image's watershed; install it with `pip install "cnnlab[shapes]"`.

    Source: Soille and Ansoult, Automated Basin Delineation from Digital Elevation Models, Signal Processing 20, 1990.

    Args:
      wall: `[H, W]` relief that is high between shapes, such as the probability of an outline; NaN pixels belong to no
        basin.
      below: level in the unit of the relief; a higher level joins parts that a lower level separates.
      min_size: smallest number of pixels of a part from which a basin grows.
      lines: whether pixels where two basins meet belong to neither.

    Returns:
      `[H, W]` number of each pixel's basin, from 1; 0 for a pixel without basin, so for all if no part is large enough.

    Raises:
      ValueError: the relief does not have the shape `[H, W]`, or scikit-image is not installed.

    >>> wall = np.array([[0.1, 0.0, 0.4, 0.6, 0.3, 0.0]] * 2)
    >>> basins(wall, 0.2)[0].tolist(), basins(wall, 0.2, lines=True)[0].tolist(), basins(wall, 0.7)[0].tolist()
    ([1, 1, 1, 2, 2, 2], [1, 1, 1, 0, 2, 2], [1, 1, 1, 1, 1, 1])
    """
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    watershed, wall = require_watershed(), np.asarray(wall)
    if wall.ndim != 2:
        raise ValueError(f"wall must be a relief [H, W], found {list(wall.shape)}")
    parts = shapes(wall < below)
    large = np.bincount(parts.ravel(), minlength=1) >= min_size
    large[0] = False
    parts = np.where(large, large.cumsum(), 0).astype(np.int32)[parts]
    if not large.any():
        return parts
    inner = ndimage.binary_erosion(parts > 0, border_value=1)  # no flooding from inside a part
    flooded = watershed(wall, np.where(inner, 0, parts), mask=~inner & ~np.isnan(wall), watershed_line=lines)
    return np.where(inner, parts, flooded)


def require_watershed() -> Callable:
    """Returns scikit-image's watershed function.

    Raises:
      ValueError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import watershed
    except ImportError as error:
        raise ValueError("a watershed needs the extra shapes: pip install 'cnnlab[shapes]'") from error
    return watershed


def _numbered(shapes: np.ndarray, min_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Removes shapes with fewer than `min_size` pixels, and renumbers the others from 1; also returns their sizes."""
    values, place, count = np.unique(shapes, return_inverse=True, return_counts=True)
    large = (values > 0) & (count >= min_size)
    return np.where(large, large.cumsum(), 0)[place].reshape(shapes.shape), count[large]
