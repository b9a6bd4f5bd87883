"""Losses of boxes: 1 minus their overlap, `[..., 4]` xyxy against `[..., 4]` to `[...]`."""

from collections.abc import Callable

import jax

from cnnlab.geometry import boxes

BoxLoss = Callable[[jax.Array, jax.Array], jax.Array]


def iou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - IoU`, in 0..1; no gradient flows between boxes that do not meet.

    >>> import jax.numpy as jnp
    >>> float(iou_loss(jnp.array([0.0, 0, 2, 2]), jnp.array([0.0, 0, 2, 1])))
    0.5
    """
    return 1 - boxes.iou(predictions, targets, matched=True)


def giou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - GIoU`, in 0..2, which also draws together boxes that do not meet.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.

    >>> import jax.numpy as jnp
    >>> float(giou_loss(jnp.array([0.0, 0, 1, 1]), jnp.array([1.0, 1, 2, 2])))
    1.5
    """
    return 1 - boxes.giou(predictions, targets, matched=True)


def diou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - DIoU`, in 0..2, which also counts the distance of the centres.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020.
    """
    return 1 - boxes.diou(predictions, targets, matched=True)


def ciou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - CIoU`, which also counts the distance of the centres and the difference of the aspects.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020.
    """
    return 1 - boxes.ciou(predictions, targets, matched=True)


BOXES: dict[str, BoxLoss] = {
    "iou": iou_loss,
    "giou": giou_loss,
    "diou": diou_loss,
    "ciou": ciou_loss,
}
"""Losses of boxes by name."""
