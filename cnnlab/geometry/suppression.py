"""Non-maximum suppression: keeps only the best of several overlapping boxes of a class.

The outputs have a fixed size, so that `jax.jit` and `jax.vmap` work with these functions.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnnlab.errors import check_known
from cnnlab.geometry import boxes as geometry

_OVERLAPS = {"iou": geometry.iou, "diou": geometry.diou}


class Selection(NamedTuple):
    """The boxes that remain, in the order of decreasing scores, followed by padding."""

    indices: jax.Array  # [max_boxes] int32, indices of the input boxes; 0 for padding
    scores: jax.Array  # [max_boxes], lowered by soft suppression; 0 for padding
    valid: jax.Array  # [max_boxes] bool, False for padding


def non_maximum_suppression(
    boxes: jax.Array,
    scores: jax.Array,
    classes: jax.Array | None = None,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
    max_boxes: int | None = None,
    overlap: str = "iou",
) -> Selection:
    """Keeps the best box, drops the boxes of its class that overlap it, and repeats this with the remaining boxes.

    A box is dropped if its overlap is above the threshold, as in torchvision and in the text of the lecture (the
    lecture's pseudo-code also drops it if the overlap equals the threshold). Boxes with equal scores stay in input
    order. A box with a NaN score or with corners that are not finite is ignored. A box without area overlaps no other.

    The computation does not take N sequential steps. Each round decides about all boxes at once, from the boxes that
    the previous round keeps, until nothing changes. A box with a chain of d better overlapping boxes is decided after d
    rounds, and chains are short.

    Args:
      boxes: boxes `[N, 4]`, xyxy.
      scores: scores `[N]`.
      classes: classes `[N]`; only boxes with the same class drop each other. By default all boxes drop each other.
      iou_threshold: overlap above which a box is dropped.
      score_threshold: score that a box must exceed; other boxes are ignored.
      max_boxes: size of the result, N by default.
      overlap: "iou", or "diou", which keeps boxes with distant centres (Zheng et al., AAAI 2020, equation 12).

    Raises:
      ValueError: shapes do not fit, `max_boxes` is below 1, or the overlap is unknown.

    >>> selection = non_maximum_suppression(
    ...     jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]), jnp.array([0.8, 0.9, 0.5])
    ... )
    >>> selection.indices.tolist(), selection.valid.tolist()
    ([1, 2, 0], [True, True, False])
    """
    check_known("overlap", overlap, _OVERLAPS)
    size = _check(boxes, scores, classes, max_boxes)
    order, ranked, boxes, usable = _rank(boxes, scores, score_threshold)
    above = _OVERLAPS[overlap](boxes, boxes) > iou_threshold
    if classes is not None:
        above &= classes[order][:, None] == classes[order][None, :]
    better = jnp.arange(len(order))
    drops = above & (better[:, None] < better[None, :]) & usable[:, None]  # [i, j]: box i drops box j if box i is kept

    def decide(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        keep, _ = state
        return usable & ~(drops & keep[:, None]).any(0), keep

    keep, _ = lax.while_loop(lambda state: (state[0] != state[1]).any(), decide, (usable, ~usable))
    place = jnp.where(keep, jnp.cumsum(keep) - 1, size)  # indices beyond the size are dropped
    return Selection(
        jnp.zeros(size, jnp.int32).at[place].set(order, mode="drop"),
        jnp.zeros(size, ranked.dtype).at[place].set(ranked, mode="drop"),
        jnp.zeros(size, bool).at[place].set(True, mode="drop"),
    )


def soft_non_maximum_suppression(
    boxes: jax.Array,
    scores: jax.Array,
    classes: jax.Array | None = None,
    *,
    decay: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.001,
    max_boxes: int | None = None,
) -> Selection:
    """Lowers the scores of boxes that overlap a better box of their class, instead of dropping them.

    The number of steps is the number of boxes in the result. Boxes with equal scores and with numbers that are not
    finite are treated as in `non_maximum_suppression`.

    Source: Bodla et al., Soft-NMS, ICCV 2017.

    Args:
      boxes: boxes `[N, 4]`, xyxy.
      scores: scores `[N]`.
      classes: classes `[N]`; only boxes with the same class lower each other's scores. By default all boxes do.
      decay: "gaussian" multiplies a score by `exp(-IoU^2 / sigma)`; "linear" multiplies it by `1 - IoU` if the IoU is
        above the threshold.
      sigma: width of the Gaussian.
      iou_threshold: IoU above which the linear decay applies.
      score_threshold: score that a box must exceed; other boxes are dropped.
      max_boxes: size of the result, N by default.

    Raises:
      ValueError: shapes do not fit, `max_boxes` is below 1, or the decay is unknown.

    >>> boxes, scores = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 8]]), jnp.array([0.9, 0.8])
    >>> [round(x, 4) for x in soft_non_maximum_suppression(boxes, scores, decay="linear").scores.tolist()]
    [0.9, 0.16]
    """
    factors: dict[str, Callable[[jax.Array], jax.Array]] = {
        "gaussian": lambda x: jnp.exp(-(x**2) / sigma),
        "linear": lambda x: jnp.where(x > iou_threshold, 1 - x, 1.0),
    }
    check_known("decay", decay, factors)
    size = _check(boxes, scores, classes, max_boxes)
    order, ranked, boxes, _ = _rank(boxes, scores, score_threshold)
    factor = factors[decay](geometry.iou(boxes, boxes))
    if classes is not None:
        factor = jnp.where(classes[order][:, None] == classes[order][None, :], factor, 1.0)

    def take_best(remaining: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = remaining.argmax()  # the first one if several are equal
        score = remaining[best]
        remaining = jnp.where(remaining > score_threshold, remaining * factor[best], -jnp.inf).at[best].set(-jnp.inf)
        return remaining, (order[best], score)

    _, (indices, top_scores) = lax.scan(take_best, ranked, length=min(size, len(order)))
    padding = (0, size - len(top_scores))
    indices, top_scores = jnp.pad(indices, padding), jnp.pad(top_scores, padding, constant_values=-jnp.inf)
    valid = top_scores > score_threshold
    return Selection(jnp.where(valid, indices, 0), jnp.where(valid, top_scores, 0), valid)


def _check(boxes: jax.Array, scores: jax.Array, classes: jax.Array | None, max_boxes: int | None) -> int:
    """Checks the arguments and returns the size of the result."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4], found {list(boxes.shape)}; use jax.vmap for a batch")
    for name, array in (("scores", scores), ("classes", classes)):
        if array is not None and array.shape != boxes.shape[:1]:
            raise ValueError(f"{name} must be [{len(boxes)}], one for each box, found {list(array.shape)}")
    if max_boxes is not None and max_boxes < 1:
        raise ValueError(f"max_boxes must be 1 or more, found {max_boxes}")
    return len(boxes) if max_boxes is None else max_boxes


def _rank(boxes: jax.Array, scores: jax.Array, threshold: float) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Sorts boxes by decreasing score and puts unusable boxes last.

    A box is unusable if its corners are not finite or its score does not exceed the threshold.

    Returns:
      The indices `[N]` of the sorted boxes, and in their order the scores `[N]` (-inf for unusable boxes), the boxes
      `[N, 4]` (zeros for unusable boxes), and whether each box is usable `[N]`.
    """
    usable = jnp.isfinite(boxes).all(-1) & (scores > threshold)  # False for a NaN score
    ranked = jnp.where(usable, scores, -jnp.inf)
    order = jnp.argsort(-ranked, stable=True).astype(jnp.int32)
    usable = usable[order]
    return order, ranked[order], jnp.where(usable[:, None], boxes[order], 0.0), usable
