"""Non-maximum suppression: of overlapping boxes of a class, only the best stays.

Outputs have a fixed size, so that everything jits and vmaps.
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
    """The boxes that stay, by falling score, then padding."""

    indices: jax.Array  # [max_boxes] int32 into the input, 0 where padding
    scores: jax.Array  # [max_boxes], lowered where suppression is soft, 0 where padding
    valid: jax.Array  # [max_boxes] bool, False where padding


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
    """Keeps the best box, drops those of its class that overlap it, and so on with the best of the rest.

    A box goes when its overlap is above the threshold, as in torchvision and as the text of the lecture has it; its
    pseudo-code says at or above. Equal scores go in input order. A box whose score is NaN or whose corners are
    not finite is never kept and drops nothing; a box without area overlaps nothing.

    Instead of N steps in sequence, all boxes are decided at once from the boxes kept so far until nothing changes: a
    box whose chain of better overlapping boxes is d long is settled after d rounds, and chains are short.

    Args:
      boxes: `[N, 4]` xyxy.
      scores: `[N]`.
      classes: `[N]`; only boxes of equal class drop each other. Without, all do.
      iou_threshold: above it a box goes.
      score_threshold: only boxes of a score above it take part.
      max_boxes: size of the result, N by default.
      overlap: `iou`, or `diou` to spare boxes whose centres lie apart (Zheng et al., AAAI 2020, equation 12).

    Raises:
      ValueError: shapes do not fit, `max_boxes` is below 1, or the overlap is unknown.

    >>> kept = non_maximum_suppression(
    ...     jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]), jnp.array([0.8, 0.9, 0.5])
    ... )
    >>> kept.indices.tolist(), kept.valid.tolist()
    ([1, 2, 0], [True, True, False])
    """
    check_known("overlap", overlap, _OVERLAPS)
    size = _check(boxes, scores, classes, max_boxes)
    order, ranked, boxes, usable = _rank(boxes, scores, score_threshold)
    above = _OVERLAPS[overlap](boxes, boxes) > iou_threshold
    if classes is not None:
        above &= classes[order][:, None] == classes[order][None, :]
    better = jnp.arange(len(order))
    drops = above & (better[:, None] < better[None, :]) & usable[:, None]  # [i, j]: i drops j where i stays

    def decide(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        keep, _ = state
        return usable & ~(drops & keep[:, None]).any(0), keep

    keep, _ = lax.while_loop(lambda state: (state[0] != state[1]).any(), decide, (usable, ~usable))
    place = jnp.where(keep, jnp.cumsum(keep) - 1, size)  # those beyond the size are dropped
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
    """Lowers the score of a box that overlaps a better one of its class, rather than dropping it.

    One step a kept box. Bad numbers and equal scores: as in `non_maximum_suppression`.

    Source: Bodla et al., Soft-NMS, ICCV 2017.

    Args:
      boxes: `[N, 4]` xyxy.
      scores: `[N]`.
      classes: `[N]`; only boxes of equal class lower each other. Without, all do.
      decay: `gaussian`, times `exp(-IoU^2 / sigma)`; or `linear`, times `1 - IoU` where that is above the threshold.
      sigma: width of the Gaussian.
      iou_threshold: IoU above which the linear decay applies.
      score_threshold: a box ends once its score is not above it.
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

    def step(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = left.argmax()  # the first of equal ones
        score = left[best]
        left = jnp.where(left > score_threshold, left * factor[best], -jnp.inf).at[best].set(-jnp.inf)
        return left, (order[best], score)

    _, (indices, scores_left) = lax.scan(step, ranked, length=min(size, len(order)))
    spare = (0, size - len(scores_left))
    indices, scores_left = jnp.pad(indices, spare), jnp.pad(scores_left, spare, constant_values=-jnp.inf)
    kept = scores_left > score_threshold
    return Selection(jnp.where(kept, indices, 0), jnp.where(kept, scores_left, 0), kept)


def _check(boxes: jax.Array, scores: jax.Array, classes: jax.Array | None, max_boxes: int | None) -> int:
    """Checks the arguments and returns the size of the result."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4], found {list(boxes.shape)}; jax.vmap takes a batch")
    for name, array in (("scores", scores), ("classes", classes)):
        if array is not None and array.shape != boxes.shape[:1]:
            raise ValueError(f"{name} must be [{len(boxes)}] as the boxes are, found {list(array.shape)}")
    if max_boxes is not None and max_boxes < 1:
        raise ValueError(f"max_boxes must be 1 or more, found {max_boxes}")
    return len(boxes) if max_boxes is None else max_boxes


def _rank(boxes: jax.Array, scores: jax.Array, threshold: float) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Indices by falling score, unusable boxes last; their scores (-inf), boxes (zeros) and usability in that order."""
    usable = jnp.isfinite(boxes).all(-1) & (scores > threshold)  # NaN is above nothing
    ranked = jnp.where(usable, scores, -jnp.inf)
    order = jnp.argsort(-ranked, stable=True).astype(jnp.int32)
    usable = usable[order]
    return order, ranked[order], jnp.where(usable[:, None], boxes[order], 0.0), usable
