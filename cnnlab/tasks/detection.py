"""Detection on a grid: every cell answers for the object whose centre it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.metrics.detection import mean_average_precision
from cnnlab.plots import figures
from cnnlab.tasks.task import Batch, Outputs, Prediction, Rows, require

_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Detection:
    """Reads `boxes` `[B, n, 4]` xyxy in pixels and `classes` `[B, n]`, -1 = padding.

    Logits `[B, S, S', 5 + k]`: centre within the cell, size relative to the image, objectness, classes. Links to what
    can be averaged on the grid: `boxes` `[B, S, S', 4]`, `score` `[B, S, S']`, `probs` `[B, S, S', k]`. Decodes to the
    `max_boxes` best: `boxes` `[B, m, 4]`, `score` `[B, m]`, `classes` `[B, m]`.

    Attributes:
      image_size: height and width in pixels; `auto` takes the data's.
      box_weight: of the box's L1 error (in image sizes) against cross-entropy.
      max_boxes: how many cells are kept.
    """

    image_size: Literal["auto"] | tuple[int, int] = "auto"
    box_weight: float = 5.0
    max_boxes: int = 16

    logits = "grid"
    monitor = "map50"
    maximise = True

    def resolve(self, dataset: Dataset) -> Detection:
        boxes = require(dataset, "boxes", "detection")
        classes = require(dataset, "classes", "detection")
        real = boxes[classes >= 0]
        wrong = real[~(np.isfinite(real).all(-1) & (real[:, 2:] >= real[:, :2]).all(-1))]
        if len(wrong):
            raise ValueError(f"boxes of {dataset.name} must be xyxy with x1 <= x2, y1 <= y2, found {wrong[0].tolist()}")
        return dataclasses.replace(self, image_size=dataset.spec.size) if self.image_size == "auto" else self

    def head(self, spec: InputSpec) -> int:
        return 5 + len(spec.classes)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        present, boxes, classes = self._encode(batch, logits.shape[1:3])
        scale = self._extent()[jnp.array([1, 0, 1, 0])]
        place = jnp.abs(self._boxes(logits) - boxes) / scale
        value = losses.binary_cross_entropy(logits[..., 4], present)
        value += present * (self.box_weight * place.sum(-1) + losses.cross_entropy(logits[..., 5:], classes))
        return value.sum((1, 2)), jnp.ones(len(logits))

    def link(self, logits: jax.Array) -> Outputs:
        return {
            "boxes": self._boxes(logits),
            "score": jax.nn.sigmoid(logits[..., 4]),
            "probs": jax.nn.softmax(logits[..., 5:]),
        }

    def decode(self, outputs: Outputs) -> Prediction:
        flat = {name: leaf.reshape(len(leaf), -1, *leaf.shape[3:]) for name, leaf in outputs.items()}
        score, best = jax.lax.top_k(flat["score"], min(self.max_boxes, flat["score"].shape[1]))
        probs = jnp.take_along_axis(flat["probs"], best[..., None], 1)
        boxes = jnp.take_along_axis(flat["boxes"], best[..., None], 1)
        return Prediction(boxes=boxes, score=score, probs=probs, classes=probs.argmax(-1))

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        found = self.decode(outputs)
        kept = {name: found[name] for name in ("boxes", "score", "classes")}
        return kept | {"true_boxes": batch["boxes"], "true_classes": batch["classes"]}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`map` (IoU .50 to .95) and `map50`."""
        names = ("boxes", "score", "classes", "true_boxes", "true_classes")
        return mean_average_precision(*(rows[name] for name in names))

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        found, truths = [], []
        for i in range(min(_SHOWN, len(rows["boxes"]))):
            sure, real = rows["score"][i] >= 0.5, rows["true_classes"][i] >= 0
            found.append(list(zip(*(rows[name][i][sure] for name in ("boxes", "classes", "score")), strict=True)))
            truths.append(list(zip(*(rows[name][i][real] for name in ("true_boxes", "true_classes")), strict=True)))
        images = [rows["image"][i] for i in range(len(found))]
        return {"boxes": figures.detections(images, found, truths, rows["class_names"])}

    def _extent(self) -> jax.Array:
        """Height and width of the image in pixels."""
        if self.image_size == "auto":
            raise ValueError("image_size is still 'auto'; set it, or train by cnnlab.train, which takes the data's")
        return jnp.asarray(self.image_size, jnp.float32)

    def _boxes(self, logits: jax.Array) -> jax.Array:
        """Boxes `[B, S, S', 4]` xyxy in pixels."""
        rows, columns = logits.shape[1:3]
        height, width = self._extent()
        corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)
        cell = jnp.stack([width / columns, height / rows])
        centre = (corner + jax.nn.sigmoid(logits[..., 0:2])) * cell
        half = jax.nn.sigmoid(logits[..., 2:4]) * jnp.stack([width, height]) / 2
        return jnp.concatenate([centre - half, centre + half], -1)

    def _encode(self, batch: Batch, grid: tuple[int, int]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Objects on their cells: present `[B, S, S']`, boxes `[B, S, S', 4]`, classes `[B, S, S']`.

        An object whose centre lies outside the image goes to the nearest cell; of several in one cell the last stays.
        """
        rows, columns = grid
        height, width = self._extent()

        def one(boxes: jax.Array, classes: jax.Array):
            x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
            column = jnp.clip((x * columns / width).astype(jnp.int32), 0, columns - 1)
            row = jnp.clip((y * rows / height).astype(jnp.int32), 0, rows - 1)
            outside, cell = rows * columns, row * columns + column
            cell = jnp.where(classes >= 0, cell, outside)
            # Of several in one cell the last stays, whole: the order of a scatter is not defined everywhere.
            later = (cell[:, None] == cell[None]) & (jnp.arange(len(cell))[:, None] < jnp.arange(len(cell)))
            cell = jnp.where(later.any(1), outside, cell)

            def put(values: jax.Array, empty) -> jax.Array:
                start = jnp.full((rows * columns + 1, *values.shape[1:]), empty, values.dtype)
                return start.at[cell].set(values)[:-1].reshape(rows, columns, *values.shape[1:])

            return put(jnp.ones_like(x), 0), put(boxes, 0), put(classes, -1)

        return jax.vmap(one)(batch["boxes"], batch["classes"])
