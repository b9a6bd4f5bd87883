"""Converts a detector's logits per cell to boxes, and computes their loss terms.

A cell holds either a few boxes that share its class probabilities (`Cells`), or anchors that each have their own
(`Anchored`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.geometry import grid
from cnnlab.geometry.anchors import size_iou
from cnnlab.geometry.boxes import iou
from cnnlab.losses import yolo
from cnnlab.losses.overlap import BoxLoss

MOST_STRETCH = 6.0  # e^6 = 403 anchors wide: no float32 overflow from an untrained network
LEAST_SIDE = 1e-3  # in pixels: gradients of overlaps divide by squared areas, which become 0 in float32 for tiny boxes


class Placed(NamedTuple):
    """Objects in the slots of their cells, `[B, rows, columns, slots, ...]`, and the number without a slot, `[B]`."""

    present: jax.Array
    boxes: jax.Array
    classes: jax.Array
    lost: jax.Array


def place_objects(
    boxes: jax.Array,
    classes: jax.Array,
    *,
    size: tuple[int, int],
    cells: tuple[int, int],
    anchors: jax.Array | None = None,
) -> Placed:
    """Assigns each object to a slot of the cell that contains its centre: one slot per cell, or one per anchor.

    An object takes the free anchor of its cell whose shape has the largest IoU with its own. Objects choose in their
    order. An object without a free slot is lost, and counted.

    Args:
      boxes: object boxes `[B, n, 4]`, xyxy in pixels.
      classes: object classes `[B, n]`, -1 = padding.
      size: height and width of the image in pixels.
      cells: number of rows and columns of the grid.
      anchors: widths and heights `[a, 2]` of the anchors in pixels; without anchors a cell has one slot.
    """
    slots = 1 if anchors is None else len(anchors)

    def place_image(boxes: jax.Array, classes: jax.Array) -> Placed:
        cell = grid.cell_of(boxes, size=size, grid=cells)
        wish = jnp.zeros((len(boxes), 1)) if anchors is None else size_iou(boxes[:, 2:] - boxes[:, :2], anchors)
        slot = grid.assign(cell, wish, classes >= 0, cells=cells[0] * cells[1])
        shape = {"grid": cells, "slots": slots}
        return Placed(
            grid.put(jnp.ones(len(boxes)), cell, slot, empty=0, **shape),
            grid.put(boxes, cell, slot, empty=0, **shape),
            grid.put(classes, cell, slot, empty=-1, **shape),
            ((slot < 0) & (classes >= 0)).sum(),
        )

    return jax.vmap(place_image)(boxes, classes)


def crowded_out(
    boxes: np.ndarray, classes: np.ndarray, *, size: tuple[int, int], cells: tuple[int, int], slots: int
) -> int:
    """Counts the objects of a split that get no slot because their cell is full; see `place_objects`.

    >>> crowded_out(np.tile([0.0, 0, 2, 2], (1, 3, 1)), np.array([[0, 1, -1]]), size=(8, 8), cells=(2, 2), slots=1)
    1
    """
    cell = np.asarray(grid.cell_of(boxes, size=size, grid=cells)) + cells[0] * cells[1] * np.arange(len(boxes))[:, None]
    _, count = np.unique(cell[np.asarray(classes) >= 0], return_counts=True)
    return int(np.maximum(count - slots, 0).sum())


class Cells(NamedTuple):
    """The `5 b + k` numbers of each cell: x, y, width, height and confidence of b boxes, then k class probabilities."""

    centre: jax.Array  # [..., b, 2] relative to the cell
    root: jax.Array  # [..., b, 2] square roots of width and height relative to the image
    confidence: jax.Array  # [..., b]
    probs: jax.Array  # [..., k]


def read_cells(logits: jax.Array, boxes: int) -> Cells:
    """Reads logits as YOLO V1's numbers, with sigmoids and a softmax where the paper's last layer is linear.

    Confidences and class scores are therefore probabilities, and so are their means over passes.
    """
    of_boxes = logits[..., : 5 * boxes].reshape(*logits.shape[:-1], boxes, 5)
    inside = jax.nn.sigmoid(of_boxes)
    return Cells(inside[..., :2], inside[..., 2:4], inside[..., 4], jax.nn.softmax(logits[..., 5 * boxes :]))


def cells_boxes(cells: Cells, *, size: tuple[int, int]) -> jax.Array:
    """Computes boxes `[B, rows, columns, b, 4]`, xyxy in pixels."""
    return grid.to_boxes(cells.centre, jnp.square(cells.root), size=size)


def cells_terms(cells: Cells, placed: Placed, *, size: tuple[int, int], box_loss: BoxLoss | None = None) -> yolo.Terms:
    """Computes the five loss terms `[B, rows, columns]`. With a `box_loss`, `box` replaces `centre` and `size`."""
    boxes = cells_boxes(cells, size=size)
    centre, extent = grid.from_boxes(placed.boxes, size=size)
    return yolo.five_terms(
        *cells,
        iou(boxes, placed.boxes)[..., 0],
        present=placed.present[..., 0],
        true_centre=jnp.clip(centre[..., 0, :], 0, 1),
        true_extent=extent[..., 0, :],
        classes=placed.classes[..., 0],
        box=None if box_loss is None else box_term(box_loss, boxes, placed),
    )


class Anchored(NamedTuple):
    """The `5 + k` numbers of each anchor: x, y, logarithms of width and height in anchors, score, k class logits."""

    centre: jax.Array  # [..., a, 2] relative to the cell
    stretch: jax.Array  # [..., a, 2]
    score: jax.Array  # [..., a] logit
    logits: jax.Array  # [..., a, k]


def read_anchored(logits: jax.Array, anchors: int) -> Anchored:
    """Reads the logits of each anchor. A sigmoid confines its centre to the cell."""
    each = logits.reshape(*logits.shape[:-1], anchors, -1)
    stretch = jnp.clip(each[..., 2:4], -MOST_STRETCH, MOST_STRETCH)
    return Anchored(jax.nn.sigmoid(each[..., :2]), stretch, each[..., 4], each[..., 5:])


def anchored_boxes(anchored: Anchored, anchors: jax.Array, *, size: tuple[int, int]) -> jax.Array:
    """Computes boxes `[B, rows, columns, a, 4]`, xyxy in pixels."""
    extent = jnp.exp(anchored.stretch) * anchors / jnp.array([size[1], size[0]], jnp.float32)
    return grid.to_boxes(anchored.centre, extent, size=size)


def anchored_terms(
    anchored: Anchored,
    placed: Placed,
    truths: tuple[jax.Array, jax.Array],
    anchors: jax.Array,
    *,
    size: tuple[int, int],
    ignore_above: float,
    box_loss: BoxLoss | None = None,
) -> yolo.Terms:
    """Computes the five loss terms `[B, rows, columns, a]`.

    Args:
      anchored: the network's numbers.
      placed: the objects in their slots.
      truths: boxes `[B, n, 4]` and classes `[B, n]` of all objects, lost ones included.
      anchors: widths and heights `[a, 2]` of the anchors in pixels.
      size: height and width of the image in pixels.
      ignore_above: a box without an object is not penalised if its IoU with any object is above this.
      box_loss: loss of a box; with it the term `box` replaces `centre` and `size`.
    """
    boxes = anchored_boxes(anchored, anchors, size=size)
    overlap = jax.vmap(iou)(jax.lax.stop_gradient(boxes).reshape(len(boxes), -1, 4), truths[0])
    best = jnp.where(truths[1][:, None] >= 0, overlap, 0).max(-1).reshape(boxes.shape[:-1])
    centre, extent = grid.from_boxes(placed.boxes, size=size)
    pixels = extent * jnp.array([size[1], size[0]], jnp.float32)
    # The logarithm of an object without area is not finite, so it gets the smallest stretch that can be predicted.
    true_stretch = jnp.log(jnp.maximum(pixels / anchors, jnp.exp(-MOST_STRETCH)))
    return yolo.anchor_terms(
        *anchored,
        present=placed.present,
        ignored=(best > ignore_above).astype(jnp.float32),
        true_centre=jnp.clip(centre, 0, 1),
        true_stretch=true_stretch,
        classes=placed.classes,
        box=None if box_loss is None else box_term(box_loss, boxes, placed),
    )


def box_term(box_loss: BoxLoss, boxes: jax.Array, placed: Placed) -> jax.Array:
    """Computes the loss of each box against the object in its slot, 0 if the slot is empty.

    The gradient is finite for boxes and objects of any size, even without area.

    Args:
      box_loss: one of `cnnlab.losses.BOXES`.
      boxes: predicted boxes `[B, rows, columns, m, 4]`, xyxy in pixels.
      placed: the objects; if a cell has one slot, all m boxes are compared with its object.

    Returns:
      Losses `[B, rows, columns, m]`.
    """
    present = placed.present > 0
    low, high = boxes[..., :2], boxes[..., 2:]
    boxes = jnp.concatenate([low, jnp.maximum(high, low + LEAST_SIDE)], -1)
    boxes = jnp.where(present[..., None], boxes, placed.boxes)  # no gradient reaches a box without an object
    return jnp.where(present, box_loss(boxes, placed.boxes), 0)
