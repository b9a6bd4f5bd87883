"""Boxes `[..., 4]`: their formats and their overlap.

Everything here reads xyxy in continuous coordinates, unless it says otherwise, and answers NumPy arrays with NumPy
arrays (in their own precision) and all else with JAX arrays. A reversed box counts as empty. A quotient 0 / 0 is 0, and
its gradient is finite.
"""

import types
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.errors import check_known

FORMATS = ("xyxy", "xywh", "cxcywh")


def convert(boxes: jax.Array, source: str, target: str) -> jax.Array:
    """Converts boxes from one format to another: two corners, corner and size, or centre and size.

    Args:
      boxes: `[..., 4]`.
      source: `xyxy`, `xywh` or `cxcywh`.
      target: one of the same names.

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
    """Computes the area of boxes in square pixels, `[..., 4]` to `[...]`; 0 for a reversed box.

    >>> area(np.array([[0.0, 0, 4, 3], [4, 3, 0, 0]])).tolist()
    [12.0, 0.0]
    """
    side = _module(boxes).maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return side[..., 0] * side[..., 1]


def clip(boxes: jax.Array, image_size: Sequence[int]) -> jax.Array:
    """Clips boxes to an image of (height, width); a box outside becomes empty, at the border.

    >>> clip(np.array([-1.0, 2, 9, 4]), (3, 6)).tolist()
    [0.0, 2.0, 6.0, 3.0]
    """
    height, width = image_size
    kind = boxes.dtype if np.issubdtype(boxes.dtype, np.floating) else np.float32
    return _module(boxes).clip(boxes, 0, np.array([width, height] * 2, kind))


def valid(boxes: jax.Array) -> jax.Array:
    """Returns whether a box is finite and encloses an area, `[..., 4]` to `[...]` bool.

    >>> valid(np.array([[0.0, 0, 1, 1], [1, 1, 1, 2], [0, 0, np.nan, 1]])).tolist()
    [True, False, False]
    """
    return _module(boxes).isfinite(boxes).all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def iou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the intersection over union; 0 if both areas are 0.

    Args:
      a: `[..., n, 4]`.
      b: `[..., m, 4]`.
      matched: compare each box of `a` with the one box of `b` at its place, not with all of them.

    Returns:
      `[..., n, m]`; matched, `[...]` for two arrays `[..., 4]`.

    >>> iou(np.array([[0.0, 0, 100, 100]]), np.array([[0.0, 0, 50, 50]])).tolist()
    [[0.25]]
    """
    return _iou(*_align(a, b, matched))[0]


def giou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the IoU minus the share of the enclosing box that neither box fills, in -1..1.

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
    """Computes the IoU minus the squared distance of the centres over the enclosing box's squared diagonal, in -1..1.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equation 7.

    Args: as in `iou`.

    >>> diou(np.array([0.0, 0, 2, 2]), np.array([2.0, 0, 4, 2]), matched=True).item()  # 0 - 4 / 20
    -0.2
    """
    a, b = _align(a, b, matched)
    return _iou(a, b)[0] - _distance(a, b)


def ciou(a: jax.Array, b: jax.Array, *, matched: bool = False) -> jax.Array:
    """Computes the DIoU minus a term for different aspects, `v^2 / (1 - IoU + v)`, whose weight has no gradient.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equations 8 to 11.

    Args: as in `iou`.

    >>> ciou(np.array([0.0, 0, 2, 2]), np.array([2.0, 0, 4, 2]), matched=True).item()  # equal aspects: as DIoU
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
    """Divides, with 0 for a divisor of 0; the inner choice keeps the gradient finite there."""
    xp = _module(above, below)
    return xp.where(below > 0, above / xp.where(below > 0, below, 1), 0)


def _iou(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the intersection over union, and the union."""
    xp = _module(a, b)
    side = xp.maximum(xp.minimum(a[..., 2:], b[..., 2:]) - xp.maximum(a[..., :2], b[..., :2]), 0)
    overlap = side[..., 0] * side[..., 1]
    union = area(a) + area(b) - overlap
    return _divide(overlap, union), union


def _enclosing(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes width and height of the smallest box around both."""
    xp = _module(a, b)
    return xp.maximum(a[..., 2:], b[..., 2:]) - xp.minimum(a[..., :2], b[..., :2])


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return _divide((between**2).sum(-1), (_enclosing(a, b) ** 2).sum(-1))


def _angle(boxes: jax.Array) -> jax.Array:
    """Computes arctan(width / height); 0 for a point, where the gradient would be NaN."""
    xp = _module(boxes)
    side = xp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    width, height = side[..., 0], side[..., 1]
    return xp.arctan2(width, xp.where((width > 0) | (height > 0), height, 1))
