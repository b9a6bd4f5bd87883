"""Losses of boxes: 1 minus the overlap of each predicted box with its target.

Every loss takes predictions and targets `[..., 4]` (xyxy) and returns `[...]`.
"""

from collections.abc import Callable

import jax

from cnnlab.geometry import boxes

BoxLoss = Callable[[jax.Array, jax.Array], jax.Array]


def iou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - IoU`, in 0..1. The gradient is zero for boxes that do not overlap.

    Source: Yu et al., UnitBox, ACM Multimedia 2016, which takes -log IoU.

    >>> import jax.numpy as jnp
    >>> float(iou_loss(jnp.array([0.0, 0, 2, 2]), jnp.array([0.0, 0, 2, 1])))
    0.5
    """
    return 1 - boxes.iou(predictions, targets, matched=True)


def giou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - GIoU`, in 0..2. Its gradient also pulls together boxes that do not overlap.

    GIoU is the IoU minus the share of the smallest enclosing box that neither box fills.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.

    >>> import jax.numpy as jnp
    >>> float(giou_loss(jnp.array([0.0, 0, 1, 1]), jnp.array([1.0, 1, 2, 2])))
    1.5
    """
    return 1 - boxes.giou(predictions, targets, matched=True)


def diou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - DIoU`, in 0..2, which also penalises the distance between the centres.

    DIoU is the IoU minus the squared distance of the centres, divided by the enclosing box's squared diagonal.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equation 7.

    >>> import jax.numpy as jnp
    >>> round(float(diou_loss(jnp.array([0.0, 0, 2, 2]), jnp.array([2.0, 0, 4, 2]))), 4)  # 1 - 0 + 4 / 20
    1.2
    """
    return 1 - boxes.diou(predictions, targets, matched=True)


def ciou_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `1 - CIoU`, which also penalises the distance between the centres and different aspect ratios.

    CIoU is the DIoU minus `v^2 / (1 - IoU + v)`, where `v = 4 / pi^2 (arctan(w / h) - arctan(w' / h'))^2`.

    Source: Zheng et al., Distance-IoU Loss, AAAI 2020, equation 10.

    >>> import jax.numpy as jnp
    >>> round(float(ciou_loss(jnp.array([0.0, 0, 2, 2]), jnp.array([2.0, 0, 4, 2]))), 4)  # equal aspect ratios
    1.2
    """
    return 1 - boxes.ciou(predictions, targets, matched=True)


BOXES: dict[str, BoxLoss] = {
    "iou": iou_loss,
    "giou": giou_loss,
    "diou": diou_loss,
    "ciou": ciou_loss,
}
"""Losses of boxes by name."""
