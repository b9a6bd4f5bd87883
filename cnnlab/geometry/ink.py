"""Strokes of ink on a page: their distance field, their width, and how they are fitted into a small image."""

from typing import Literal, NamedTuple

import numpy as np

Centring = Literal["mass", "box"]

_LARGEST_SHARE = 0.25  # drawings smaller than this share of the page are enlarged no further
_MARGIN = 10  # the page continues by its side divided by this, so that ink at its edge has an edge of its own
_THINNEST = 1 / 3  # of a stroke's own width; what is thinner after fitting would fall apart


def signed_distance(ink: np.ndarray) -> np.ndarray:
    """Computes the distance `[H, W]` of each pixel to the edge of the ink in pixels, positive inside.

    Args:
      ink: `[H, W]` bool, at least one pixel of ink and one without.

    >>> signed_distance(np.array([[0, 1, 1, 0]], bool)).tolist()
    [[-0.5, 0.5, 0.5, -0.5]]
    """
    from scipy.ndimage import distance_transform_edt

    return np.where(ink, distance_transform_edt(ink) - 0.5, 0.5 - distance_transform_edt(~ink))


def stroke_width(distance: np.ndarray) -> float:
    """Returns the width of strokes in pixels: four times the mean distance of the ink to its edge.

    Across a bar of width w the distances are spread evenly over 0..w/2, so their mean is w/4.

    Args:
      distance: field of `signed_distance`.

    >>> round(stroke_width(signed_distance(np.pad(np.ones((40, 4), bool), 3))), 1)
    3.9
    """
    return float(4 * np.mean(distance[distance > 0]))


def box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the first row, the first column, the height and the width of the ink `[H, W]` bool."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


class Fit(NamedTuple):
    """A drawing in a small image.

    Attributes:
      image: `[height, width]` float32 in [0, 1], the share of each pixel that the ink covers.
      matrix: `[2, 3]`, maps a point `(x, y, 1)` of the image to the page. Both are in pixels, and (0.5, 0.5) is the
        centre of the first one.
    """

    image: np.ndarray
    matrix: np.ndarray


def fit_ink(
    ink: np.ndarray,
    size: tuple[int, int],
    *,
    side: float = 20.0,
    width: float | None = None,
    centring: Centring = "mass",
    turn: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Fit:
    """Fits a drawing into a small image: scales its box, sets the width of its strokes, and centres it.

    The page is sampled once. The value of a pixel is the share of it that the ink covers, by the distance of its centre
    to the edge of the ink.

    Source: LeCun, Cortes and Burges, The MNIST database: digits of 20x20 pixels at their own aspect ratio, by their
    centre of mass in the middle of 28x28.

    Args:
      ink: page `[H, W]` bool.
      size: height and width of the result.
      side: longer side of the drawing's box in the result, in pixels.
      width: width of the strokes in the result, in pixels; None keeps the drawing's own.
      centring: what lies in the middle of the result: the centre of mass or the middle of the box.
      turn: rotation after centring in degrees, counter-clockwise.
      shift: shift after that, to the right and down, in pixels of the result.

    Returns:
      The image, zero everywhere for a page without ink, and its place on the page.

    >>> page = np.zeros((60, 60), bool)
    >>> page[10:50, 8:12] = True
    >>> fit = fit_ink(page, (28, 28), width=2.0)
    >>> fit.image[13, 11:17].round(1).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    from scipy.ndimage import affine_transform

    if not ink.any():
        scale = np.diag(np.array(ink.shape[::-1]) / size[::-1])
        return Fit(np.zeros(size, np.float32), np.concatenate([scale, np.zeros((2, 1))], 1))
    margin = 1 + max(ink.shape) // _MARGIN
    ink = np.pad(ink, margin)
    distance = signed_distance(ink)
    own = stroke_width(distance)
    longest = max(box(ink)[2:])
    if width is None:
        scale, grown = side / longest, 0.0
    else:
        middle_line = max(longest - own, 1)
        scale = (side - width) / middle_line
        scale = min(scale, side / (_LARGEST_SHARE * (max(ink.shape) - 2 * margin)))
        grown = max((width / scale - own) / 2, -own * (1 - _THINNEST) / 2)
    field = (distance + grown) * scale
    middle = _middle(field, centring)
    angle = np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    target = np.array(size) / 2 + np.array([shift[1], shift[0]])
    offset = middle - matrix @ (target - 0.5) - 0.5
    sampled = affine_transform(field, matrix, offset, output_shape=size, order=1, mode="constant", cval=-1.0)
    xy = matrix[::-1, ::-1]
    placed = np.concatenate([xy, (middle[::-1] - margin - xy @ target[::-1])[:, None]], 1)
    return Fit(np.clip(0.5 + sampled, 0, 1).astype(np.float32), placed)


def _middle(field: np.ndarray, centring: Centring) -> np.ndarray:
    """Returns the row and column of the centre of mass or of the box; 0.5 is the centre of the first pixel."""
    ink = field > 0
    if centring == "box":
        row, column, height, width = box(ink)
        return np.array([row + height / 2, column + width / 2])
    return np.argwhere(ink).mean(0) + 0.5
