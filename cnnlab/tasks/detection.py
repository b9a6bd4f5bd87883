"""Detection on a grid: every cell answers for the objects whose centres it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Dataset, InputSpec
from cnnlab.metrics.detection import coco_scores
from cnnlab.metrics.detection_calibration import detection_calibration
from cnnlab.ops.anchors import cluster_sizes
from cnnlab.ops.suppression import non_maximum_suppression
from cnnlab.plots import figures
from cnnlab.tasks import grids
from cnnlab.tasks.task import Batch, Outputs, Prediction, Rows, require

_SHOWN = 8
_SURE = 0.3  # of a detection that is drawn


@dataclasses.dataclass(frozen=True)
class Detection:
    """Reads `boxes` `[B, n, 4]` xyxy in pixels and `classes` `[B, n]`, -1 = padding.

    Logits `[B, S, S', 5 b + k]` (`kind` cells) or `[B, S, S', a (5 + k)]` (anchors); see `cnnlab.tasks.grids`. Links
    to what can be averaged on the grid, m being b or a: `boxes` `[B, S, S', m, 4]`, `score` `[B, S, S', m]` that there
    is an object, `probs` `[B, S, S', k]`, of anchors `[B, S, S', m, k]`. Decodes to the boxes left by non-maximum
    suppression, the best first: `boxes` `[B, n, 4]` within the image, `score` `[B, n]` (that of an object times its
    class's), `classes` `[B, n]` (-1 and a score of 0 after the last), `probs` `[B, n, k]`, and their `place` `[B, n]`
    among the boxes of the grid.

    Source: Redmon et al., You Only Look Once, CVPR 2016; with anchors Redmon and Farhadi, YOLO9000, CVPR 2017.

    Attributes:
      kind: `cells`: YOLO V1, one object and one set of class probabilities a cell; `anchors`: one of each an anchor,
        for cells that hold several objects.
      image_size: height and width in pixels; `auto` takes the data's.
      boxes_per_cell: b, boxes that compete for a cell's object.
      num_anchors: a, how many anchors `auto` makes.
      anchors: their widths and heights in pixels; `auto` clusters the training boxes.
      box_weight: of the terms of centre and size (lambda_coord).
      no_object_weight: of the confidence of boxes without an object (lambda_noobj).
      ignore_above: an anchor without an object is not called wrong where its box overlaps one by more than this.
      iou_threshold: of two found boxes of one class that overlap by more, the better stays.
      score_threshold: boxes scored no better are left out.
      max_boxes: how many are kept.
    """

    kind: Literal["cells", "anchors"] = "cells"
    image_size: Literal["auto"] | tuple[int, int] = "auto"
    boxes_per_cell: int = 2
    num_anchors: int = 5
    anchors: Literal["auto"] | tuple[tuple[float, float], ...] = "auto"
    box_weight: float = 5.0
    no_object_weight: float = 0.5
    ignore_above: float = 0.6
    iou_threshold: float = 0.5
    score_threshold: float = 0.005
    max_boxes: int = 100

    logits = "grid"
    monitor = "map50"
    maximise = True

    def __post_init__(self):
        if self.kind not in ("cells", "anchors"):
            raise ValueError(f"kind must be cells or anchors, found {self.kind!r}")
        for name in ("boxes_per_cell", "num_anchors", "max_boxes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if self.anchors != "auto" and not (len(self.anchors) and (np.asarray(self.anchors) > 0).all()):
            raise ValueError(f"anchors must be widths and heights above 0 in pixels, found {self.anchors}")

    def resolve(self, dataset: Dataset) -> Detection:
        boxes = require(dataset, "boxes", "detection")
        classes = require(dataset, "classes", "detection")
        real = boxes[classes >= 0]
        wrong = real[~(np.isfinite(real).all(-1) & (real[:, 2:] >= real[:, :2]).all(-1))]
        if len(wrong):
            raise ValueError(f"boxes of {dataset.name} must be xyxy with x1 <= x2, y1 <= y2, found {wrong[0].tolist()}")
        made = {}
        if self.image_size == "auto":
            made["image_size"] = dataset.spec.size
        if self.kind == "anchors" and self.anchors == "auto":
            anchors = cluster_sizes(real[:, 2:] - real[:, :2], self.num_anchors)
            made["anchors"] = tuple((round(float(w), 2), round(float(h), 2)) for w, h in anchors)
        return dataclasses.replace(self, **made)

    def head(self, spec: InputSpec) -> int:
        k = len(spec.classes)
        return 5 * self.boxes_per_cell + k if self.kind == "cells" else self._count() * (5 + k)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        size = self._size()
        placed = self._placed(batch, logits.shape[1:3])
        if self.kind == "cells":
            terms = grids.cells_terms(grids.read_cells(logits, self.boxes_per_cell), placed, size=size)
        else:
            terms = grids.anchored_terms(
                grids.read_anchored(logits, self._count()),
                placed,
                (batch["boxes"], batch["classes"]),
                self._anchors(),
                size=size,
                ignore_above=self.ignore_above,
            )
        weights = {"centre": self.box_weight, "size": self.box_weight, "no_object": self.no_object_weight}
        value = sum(weights.get(name, 1.0) * term for name, term in terms.items())
        return value.reshape(len(logits), -1).sum(-1), jnp.ones(len(logits))

    def link(self, logits: jax.Array) -> Outputs:
        if self.kind == "cells":
            cells = grids.read_cells(logits, self.boxes_per_cell)
            boxes = grids.cells_boxes(cells, size=self._size())
            return {"boxes": boxes, "score": cells.confidence, "probs": cells.probs}
        found = grids.read_anchored(logits, self._count())
        boxes = grids.anchored_boxes(found, self._anchors(), size=self._size())
        return {"boxes": boxes, "score": jax.nn.sigmoid(found.score), "probs": jax.nn.softmax(found.logits)}

    def decode(self, outputs: Outputs) -> Prediction:
        probs = outputs["probs"]
        best, classes = probs.max(-1), probs.argmax(-1)
        if self.kind == "cells":  # each box of a cell has its classes; XLA takes minutes over a maximum of the copies
            probs, best, classes = (
                jnp.broadcast_to(x[:, :, :, None], (*outputs["score"].shape, *x.shape[3:]))
                for x in (probs, best, classes)
            )
        height, width = self._size()
        score = outputs["score"] * best
        flat = [x.reshape(len(x), -1, *x.shape[4:]) for x in (outputs["boxes"], score, classes, probs)]

        def one(boxes: jax.Array, score: jax.Array, classes: jax.Array, probs: jax.Array) -> Prediction:
            boxes = jnp.clip(boxes, 0, jnp.array([width, height, width, height], jnp.float32))
            place, score, valid = non_maximum_suppression(
                boxes,
                score,
                classes,
                iou_threshold=self.iou_threshold,
                score_threshold=self.score_threshold,
                max_boxes=min(self.max_boxes, len(boxes)),
            )
            kept = {"boxes": boxes[place], "score": score, "probs": probs[place]}
            kept = {name: jnp.where(valid.reshape(-1, *[1] * (x.ndim - 1)), x, 0) for name, x in kept.items()}
            return Prediction(kept, classes=jnp.where(valid, classes[place], -1), place=place)

        return jax.vmap(one)(*flat)

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        found = self.decode(outputs)
        kept = {name: found[name] for name in ("boxes", "score", "classes")}
        lost = self._placed(batch, outputs["score"].shape[1:3]).lost
        return kept | {"true_boxes": batch["boxes"], "true_classes": batch["classes"], "lost": lost}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """COCO's 12 numbers, areas in pixels of the network's input; the detection `ece` and its `ece_floor`; and how
        many objects found their cell full (`crowded_out`)."""
        found = {"boxes": rows["boxes"], "scores": rows["score"], "classes": rows["classes"]}
        truths = {"boxes": rows["true_boxes"], "classes": rows["true_classes"]}
        measured = coco_scores(found, truths) | detection_calibration(found, truths, score_threshold=_SURE)
        return measured | {"crowded_out": float(rows["lost"].sum())}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        found, truths = [], []
        for i in range(min(_SHOWN, len(rows["boxes"]))):
            sure, real = rows["score"][i] >= _SURE, rows["true_classes"][i] >= 0
            found.append(list(zip(*(rows[name][i][sure] for name in ("boxes", "classes", "score")), strict=True)))
            truths.append(list(zip(*(rows[name][i][real] for name in ("true_boxes", "true_classes")), strict=True)))
        images = [rows["image"][i] for i in range(len(found))]
        return {"boxes": figures.detections(images, found, truths, rows["class_names"])}

    def _size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        if self.image_size == "auto":
            raise ValueError("image_size is still 'auto'; set it, or train by cnnlab.train, which takes the data's")
        return self.image_size

    def _count(self) -> int:
        return self.num_anchors if self.anchors == "auto" else len(self.anchors)

    def _anchors(self) -> jax.Array:
        if self.anchors == "auto":
            raise ValueError("anchors are still 'auto'; set them, or train by cnnlab.train, which clusters the data's")
        return jnp.asarray(self.anchors, jnp.float32)

    def _placed(self, batch: Batch, cells: tuple[int, int]) -> grids.Placed:
        anchors = self._anchors() if self.kind == "anchors" else None
        return grids.place_objects(batch["boxes"], batch["classes"], size=self._size(), cells=cells, anchors=anchors)
