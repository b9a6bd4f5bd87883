"""Non-maximum suppression: of boxes that overlap, the best."""

import jax
import jax.numpy as jnp

from cnnlab.ops.boxes import iou


def non_maximum_suppression(
    boxes: jax.Array,
    scores: jax.Array,
    classes: jax.Array | None = None,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
    max_boxes: int = 100,
) -> tuple[jax.Array, jax.Array]:
    """The best box, then the best of those that do not overlap it by more than the threshold, and so on.

    Args:
      boxes: `[n, 4]` xyxy.
      scores: `[n]`; a NaN is no detection.
      classes: `[n]`; only boxes of one class suppress each other. All, if left out.
      iou_threshold: a box goes when its IoU with a better one is above this.
      score_threshold: boxes at or below it are left out first.
      max_boxes: size of the result.

    Returns:
      Indices `[max_boxes]`, the best first, and which of them are valid.

    >>> boxes = jnp.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    >>> indices, valid = non_maximum_suppression(boxes, jnp.array([0.8, 0.9, 0.3]), max_boxes=3)
    >>> indices[valid].tolist()
    [1, 2]
    """
    left = jnp.where(scores > score_threshold, scores, -jnp.inf)
    if classes is None:
        classes = jnp.zeros(len(boxes), jnp.int32)

    def pick(left: jax.Array, _) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = left.argmax()
        valid = left[best] > -jnp.inf
        gone = (iou(boxes[best][None], boxes)[0] > iou_threshold) & (classes == classes[best])
        return jnp.where(gone, -jnp.inf, left).at[best].set(-jnp.inf), (best, valid)

    _, found = jax.lax.scan(pick, left, length=max_boxes)
    return found
