"""Losses of boxes: one less their overlap, `[..., 4]` xyxy against `[..., 4]` to `[...]`."""

import jax

from cnnlab.ops import boxes


def iou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """`1 - IoU`, in 0..1; no gradient between boxes that do not meet.

    >>> import jax.numpy as jnp
    >>> float(iou_loss(jnp.array([0.0, 0, 2, 2]), jnp.array([0.0, 0, 2, 1])))
    0.5
    """
    return 1 - boxes.iou(predictions, targets, matched=True)


def giou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """`1 - GIoU`, in 0..2 (Rezatofighi et al. 2019).

    >>> import jax.numpy as jnp
    >>> float(giou_loss(jnp.array([0.0, 0, 1, 1]), jnp.array([1.0, 1, 2, 2])))
    1.5
    """
    return 1 - boxes.giou(predictions, targets, matched=True)


def diou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """`1 - DIoU`, in 0..2 (Zheng et al. 2020)."""
    return 1 - boxes.diou(predictions, targets, matched=True)


def ciou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """`1 - CIoU` (Zheng et al. 2020)."""
    return 1 - boxes.ciou(predictions, targets, matched=True)
