"""Which objects each predictor of a detector is responsible for: how predictors specialise."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Examples
from cnnlab.geometry import grid
from cnnlab.geometry.boxes import iou
from cnnlab.runtime.compile import jit
from cnnlab.tasks import grids
from cnnlab.tasks.detection import Detection
from cnnlab.trained import Trained, evaluation_rows, outputs

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def specialise(trained: Trained, examples: Examples, *, batch_size: int) -> list[dict[str, Any]]:
    """Describes the objects for which each predictor is responsible.

    Of the boxes of a cell the one of the highest IoU with the cell's object is responsible, as in training; of anchors
    it is the free one whose shape is most like the object's. Objects for which a cell has no room belong to none.

    Source: Redmon et al., You Only Look Once, CVPR 2016, section 2.2: "specialization between the bounding box
    predictors".

    Args:
      trained: a detector of cnnlab's own task.
      examples: one split.
      batch_size: examples at a time.

    Returns:
      A record for each predictor: `predictor`, a number; `anchor`, its width and height in pixels, or None; `objects`,
      their number; `size` (the root of the area, in pixels) and `aspect_ratio` (width / height), each a list of the 5,
      25, 50, 75 and 95 % quantiles, empty without objects; and `classes`, the number of objects of each class by name.
    """
    task: Detection = trained.task
    rows = evaluation_rows(trained, examples, batch_size=batch_size, rows=_rows)
    anchors = task.anchors if task.kind == "anchors" else (None,) * task.boxes_per_cell
    return [
        {"predictor": number + 1, "anchor": None if anchor is None else list(anchor)}
        | _describe(rows["boxes"][rows["responsible"] == number], rows["classes"][rows["responsible"] == number], names)
        for names in (trained.spec.classes,)
        for number, anchor in enumerate(anchors)
    ]


def _describe(boxes: np.ndarray, classes: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Describes objects by their boxes `[n, 4]` and classes `[n]`."""
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6).astype(np.float64).T
    counts = np.bincount(classes, minlength=len(names))
    return {
        "objects": len(boxes),
        "size": quantiles(np.sqrt(width * height)),
        "aspect_ratio": quantiles(width / height),
        "classes": dict(zip(names, counts.tolist(), strict=True)),
    }


def quantiles(values: np.ndarray) -> list[float]:
    """Returns the quantiles at `LEVELS`; none of no values.

    >>> quantiles(np.arange(101.0))
    [5.0, 25.0, 50.0, 75.0, 95.0]
    """
    return np.quantile(values, LEVELS).tolist() if len(values) else []


@jit
def _rows(trained: Trained, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns boxes `[B, s, 4]`, classes `[B, s]` and `responsible` `[B, s]`, -1 where a slot holds no object."""
    task: Detection = trained.task
    predicted = outputs(trained, batch["image"])["boxes"]
    anchors = jnp.asarray(task.anchors, jnp.float32) if task.kind == "anchors" else None
    classes = batch["classes"] if "learnt" not in batch else jnp.where(batch["learnt"], batch["classes"], -1)
    cells = predicted.shape[1:3]
    placed = grids.place_objects(batch["boxes"], classes, size=task.image_size, cells=cells, anchors=anchors)
    if anchors is None:
        chosen = responsible_box(predicted, placed.boxes, size=task.image_size)
    else:
        chosen = jnp.broadcast_to(jnp.arange(len(anchors)), placed.present.shape)
    parts = {"boxes": placed.boxes, "classes": placed.classes, "responsible": jnp.where(placed.present, chosen, -1)}
    return {name: part.reshape(len(part), -1, *part.shape[4:]) for name, part in parts.items()}


def responsible_box(predicted: jax.Array, objects: jax.Array, *, size: tuple[int, int]) -> jax.Array:
    """Returns the index of the box that is responsible for the object of its cell, as `losses.yolo.five_terms` does.

    It is the box of the highest IoU; where none overlaps, the nearest by squared error of the centre (in cells) and of
    the roots of width and height (relative to the image).

    Args:
      predicted: boxes `[B, rows, columns, b, 4]`, xyxy in pixels.
      objects: the object of each cell, `[B, rows, columns, 1, 4]`.
      size: height and width of the image in pixels.

    Returns:
      Indices `[B, rows, columns, 1]`; meaningless in cells without an object.
    """
    overlap = iou(predicted, objects)[..., 0]
    (centre, extent), (true_centre, true_extent) = (grid.from_boxes(boxes, size=size) for boxes in (predicted, objects))
    roots = jnp.sqrt(jnp.maximum(extent, 0)) - jnp.sqrt(jnp.maximum(true_extent, 0))
    apart = jnp.square(centre - jnp.clip(true_centre, 0, 1)).sum(-1) + jnp.square(roots).sum(-1)
    return jnp.where(overlap.max(-1) > 0, overlap.argmax(-1), apart.argmin(-1))[..., None]
