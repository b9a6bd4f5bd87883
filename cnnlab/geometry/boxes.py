"""Boxes `[..., 4]`: their formats and their overlap.

All functions read boxes as xyxy in continuous coordinates, unless their docstring states another format. They return
NumPy arrays for NumPy arrays, in the same precision, and JAX arrays for all other arrays. A box with reversed corners
counts as empty. A quotient 0 / 0 is 0, and its gradient is finite.
"""

import types
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.errors import check_known

FORMATS = ("xyxy", "xywh", "cxcywh")


def convert(boxes: jax.Array, source: str, target: str) -> jax.Array:
    """Converts boxes to another format: two corners (xyxy), corner and size (xywh), or centre and size (cxcywh).

    Args:
      boxes: boxes `[..., 4]`.
      source: format of the boxes: "xyxy", "xywh" or "cxcywh".
      target: format of the result: "xyxy", "xywh" or "cxcywh".

    Raises:
      ValueError: a format is unknown.

    >>> convert(np.array([10.0, 15, 30, 35]), "xyxy", "cxcywh").tolist()
    [20.0, 25.0, 20.0, 20.0]
    """
    for name in (source, target):
        check_known("box format", name, FORMATS)
    if source == target:
        return boxes
    xp = _module(boxes)
    first, second = boxes[..., :2], boxes[..., 2:]
    if source == "cxcywh":
        first = first - second / 2
    low, high = first, (second if source == "xyxy" else first + second)
    if target == "xyxy":
        return xp.concatenate([low, high], -1)
    return xp.concatenate([low if target == "xywh" else (low + high) / 2, high - low], -1)


def area(boxes: jax.Array) -> jax.Array:
    """Computes the area `[...]` of boxes `[..., 4]` in square pixels; 0 for a box with reversed corners.

    >>> area(np.array([[0.0, 0, 4, 3], [4, 3, 0, 0]])).tolist()
    [12.0, 0.0]
    """
    side = _module(boxes).maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return side[..., 0] * side[..., 1]


def clip(boxes: jax.Array, image_size: Sequence[int]) -> jax.Array:
    """Clips boxes to an image of size (height, width); a box outside the image becomes an empty box at the border.

    >>> clip(np.array([-1.0, 2, 9, 4]), (3, 6)).tolist()
    [0.0, 2.0, 6.0, 3.0]
    """
    height, width = image_size
    kind = boxes.dtype if np.issubdtype(boxes.dtype, np.floating) else np.float32
    return _module(boxes).clip(boxes, 0, np.array([width, height] * 2, kind))


def valid(boxes: jax.Array) -> jax.Array:
    """Returns whether boxes `[..., 4]` are finite and have a positive width and height, as `[...]` bool.

    >>> valid(np.array([[0.0, 0, 1, 1], [1, 1, 1, 2], [0, 0, np.nan, 1]])).tolist()
    [True, False, False]
    """
    return _module(boxes).isfinite(boxes).all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def iou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the intersection over union of boxes; 0 if both areas are 0.

    Args:
      a: boxes `[..., n, 4]`.
      b: boxes `[..., m, 4]`.
      matched: whether to compare each box of `a` only with the box of `b` at the same index.

    Returns:
      `[..., n, m]` for all pairs. If `matched`, `[...]` for two arrays `[..., 4]`.

    >>> iou(np.array([[0.0, 0, 100, 100]]), np.array([[0.0, 0, 50, 50]])).tolist()
    [[0.25]]
    """
    return _iou(*_align(a, b, matched))[0]


def giou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the generalized IoU: the IoU minus the share of the enclosing box that neither box fills, in -1..1.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, algorithm 1.

    Args: as in `iou`.

    >>> giou(np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 2, 2]), matched=True).item()
    -0.5
    """
    a, b = _align(a, b, matched)
    overlap, union = _iou(a, b)
    side = _enclosing(a, b)
    hull = side[..., 0] * side[..., 1]
    return overlap - _divide(hull - union, hull)


def diou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the distance IoU, in -1..1.

    It is the IoU minus the squared distance between the centres, divided by the squared diagonal of the enclosing box.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equation 7.

    Args: as in `iou`.

    >>> diou(np.array([0.0, 0, 2, 2]), np.array([2.0, 0, 4, 2]), matched=True).item()  # 0 - 4 / 20
    -0.2
    """
    a, b = _align(a, b, matched)
    return _iou(a, b)[0] - _distance(a, b)


def ciou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the complete IoU: the DIoU minus a term for different aspect ratios, `v^2 / (1 - IoU + v)`.

    The weight of this term, `v / (1 - IoU + v)`, has no gradient.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equations 8 to 11.

    Args: as in `iou`.

    >>> ciou(np.array([0.0, 0, 2, 2]), np.array([2.0, 0, 4, 2]), matched=True).item()  # equal aspect ratios: the DIoU
    -0.2
    """
    a, b = _align(a, b, matched)
    overlap = _iou(a, b)[0]
    v = 4 / np.pi**2 * (_angle(a) - _angle(b)) ** 2
    weight = _divide(v, 1 - overlap + v)
    weight = weight if isinstance(weight, np.ndarray | np.generic) else jax.lax.stop_gradient(weight)
    return overlap - _distance(a, b) - weight * v


def _module(*arrays: jax.Array) -> types.ModuleType:
    return np if all(isinstance(array, np.ndarray | np.generic) for array in arrays) else jnp


def _align(a: jax.Array, b: jax.Array, matched: bool) -> tuple[jax.Array, jax.Array]:
    return (a, b) if matched else (a[..., :, None, :], b[..., None, :, :])


def _divide(above: jax.Array, below: jax.Array) -> jax.Array:
    """Divides; the quotient is 0 for a divisor of 0, for which the inner `where` keeps the gradient finite."""
    xp = _module(above, below)
    return xp.where(below > 0, above / xp.where(below > 0, below, 1), 0)


def _iou(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the intersection over union, and the area of the union."""
    xp = _module(a, b)
    side = xp.maximum(xp.minimum(a[..., 2:], b[..., 2:]) - xp.maximum(a[..., :2], b[..., :2]), 0)
    overlap = side[..., 0] * side[..., 1]
    union = area(a) + area(b) - overlap
    return _divide(overlap, union), union


def _enclosing(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes the width and height of the smallest box that encloses both boxes."""
    xp = _module(a, b)
    return xp.maximum(a[..., 2:], b[..., 2:]) - xp.minimum(a[..., :2], b[..., :2])


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return _divide((between**2).sum(-1), (_enclosing(a, b) ** 2).sum(-1))


def _angle(boxes: jax.Array) -> jax.Array:
    """Computes arctan(width / height); 0 for a box without extent, whose gradient would otherwise be NaN."""
    xp = _module(boxes)
    side = xp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    width, height = side[..., 0], side[..., 1]
    return xp.arctan2(width, xp.where((width > 0) | (height > 0), height, 1))
