"""Detection on a grid: every cell answers for the objects whose centres it holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.data.columns import EVALUATION_ONLY
from cnnlab.errors import check_known
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage
from cnnlab.geometry.anchors import cluster_sizes
from cnnlab.geometry.letterbox import from_frames
from cnnlab.geometry.suppression import Selection, non_maximum_suppression, soft_non_maximum_suppression
from cnnlab.metrics.detection.calibration import detection_calibration
from cnnlab.metrics.detection.coco import coco_curves, coco_scores, coco_tables
from cnnlab.metrics.detection.errors import detection_errors
from cnnlab.metrics.detection.false_positives import false_positive_auroc
from cnnlab.metrics.detection.matching import Columns
from cnnlab.plots.detections import detections
from cnnlab.plots.overlay import draw_boxes
from cnnlab.plots.precision_recall import precision_recall
from cnnlab.tasks import grids
from cnnlab.tasks.detection_records import coco_records
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task

_SHOWN = 8
_SURE = 0.3  # of a detection that is drawn
_DOUBTS = ("entropy", "mutual_information")


@dataclasses.dataclass(frozen=True)
class Detection(Task):
    """Reads `boxes` `[B, n, 4]` xyxy in pixels and `classes` `[B, n]`, -1 = padding, and what else `Examples` names.

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
      box_loss: loss of an object's box. `squared` sums the squared errors of the centre (in cells) and of the size (its
        square roots in shares of the image; with anchors, its logarithms in anchors). `iou`, `giou` (Rezatofighi et
        al., CVPR 2019), `diou` and `ciou` (Zheng et al., AAAI 2020) are one less the overlap of box and object, both
        xyxy in pixels.
      box_weight: weight of `box_loss`; 5 is the lambda_coord of `squared`, 1 suits the others, whose values are larger.
      no_object_weight: of the confidence of boxes without an object (lambda_noobj).
      ignore_above: an anchor without an object is not called wrong where its box overlaps one by more than this.
      iou_threshold: of two boxes of one class that overlap by more, the worse one is suppressed.
      score_threshold: boxes scored no better are left out.
      max_boxes: how many are kept.
      suppression: what happens to a box that overlaps a better one of its class. `hard` drops it. Soft-NMS (Bodla et
        al., ICCV 2017) lowers its score: `linear` by the factor `1 - IoU` where the IoU is above `iou_threshold`,
        `gaussian` by `exp(-IoU^2 / sigma)` at any IoU.
      sigma: width of the Gaussian.
    """

    kind: Literal["cells", "anchors"] = "cells"
    image_size: Literal["auto"] | tuple[int, int] = "auto"
    boxes_per_cell: int = 2
    num_anchors: int = 5
    anchors: Literal["auto"] | tuple[tuple[float, float], ...] = "auto"
    box_loss: Literal[("squared", *losses.BOXES)] = "squared"
    box_weight: float = 5.0
    no_object_weight: float = 0.5
    ignore_above: float = 0.6
    iou_threshold: float = 0.5
    score_threshold: float = 0.005
    max_boxes: int = 100
    suppression: Literal["hard", "gaussian", "linear"] = "hard"
    sigma: float = 0.5

    logits = "grid"
    columns = ("boxes", "classes")
    monitor = "map50"
    maximise = True
    predict_options = ("ids", "group", "video")

    def __post_init__(self):
        if self.kind not in ("cells", "anchors"):
            raise ValueError(f"kind must be cells or anchors, found {self.kind!r}")
        for name in ("boxes_per_cell", "num_anchors", "max_boxes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, found {getattr(self, name)}")
        check_known("box_loss", self.box_loss, ("squared", *losses.BOXES))
        check_known("suppression", self.suppression, ("hard", "gaussian", "linear"))
        if not self.sigma > 0:
            raise ValueError(f"sigma must be above 0, found {self.sigma}")
        if self.anchors != "auto" and not (len(self.anchors) and (np.asarray(self.anchors) > 0).all()):
            raise ValueError(f"anchors must be widths and heights above 0 in pixels, found {self.anchors}")

    def resolve(self, dataset: Dataset) -> Detection:
        boxes, classes = (np.asarray(dataset["train"].column(name)) for name in self.columns)
        real = boxes[classes >= 0]
        wrong = real[~(np.isfinite(real).all(-1) & (real[:, 2:] >= real[:, :2]).all(-1))]
        if len(wrong):
            raise ValueError(f"boxes of {dataset.name} must be xyxy with x1 <= x2, y1 <= y2, found {wrong[0].tolist()}")
        made = {}
        if self.image_size == "auto":
            made["image_size"] = dataset.spec.size
        if self.kind == "anchors" and self.anchors == "auto":
            train = dataset["train"]
            flags = {"learnt": np.asarray(train.column("learnt"))} if "learnt" in train[np.arange(1)] else {}
            learnt = boxes[_learnt({"classes": classes} | flags) >= 0]
            anchors = cluster_sizes(learnt[:, 2:] - learnt[:, :2], self.num_anchors)
            made["anchors"] = tuple((round(float(w), 2), round(float(h), 2)) for w, h in anchors)
        return dataclasses.replace(self, **made)

    def remarks(self, dataset: Dataset, shape: tuple[int, ...]) -> list[str]:
        train = dataset["train"]
        names = ("boxes", *(name for name in ("classes", "learnt") if name in train[np.arange(1)]))
        columns = {name: np.asarray(train.column(name)) for name in names}
        classes = _learnt(columns)
        cells, slots = shape[1:3], 1 if self.kind == "cells" else self._count()
        lost = grids.crowded_out(columns["boxes"], classes, size=self._size(), cells=cells, slots=slots)
        if not lost:
            return []
        held = "one object" if slots == 1 else f"{slots} objects"
        return [
            f"{lost:,} of {(classes >= 0).sum():,} training objects are not learnt: a cell of the "
            f"{cells[0]}x{cells[1]} grid holds {held}; take a smaller stride or larger images, or --task.kind anchors"
        ]

    def head(self, spec: InputSpec) -> int:
        k = len(spec.classes)
        return 5 * self.boxes_per_cell + k if self.kind == "cells" else self._count() * (5 + k)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        size = self._size()
        placed = self._placed(batch, logits.shape[1:3])
        box_loss = losses.BOXES.get(self.box_loss)  # None for `squared`
        if self.kind == "cells":
            cells = grids.read_cells(logits, self.boxes_per_cell)
            terms = grids.cells_terms(cells, placed, size=size, box_loss=box_loss)
        else:
            terms = grids.anchored_terms(
                grids.read_anchored(logits, self._count()),
                placed,
                (batch["boxes"], _learnt(batch)),
                self._anchors(),
                size=size,
                ignore_above=self.ignore_above,
                box_loss=box_loss,
            )
        weights = dict.fromkeys(("centre", "size", "box"), self.box_weight) | {"no_object": self.no_object_weight}
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
            place, score, valid = self._suppress(
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
        kept = {name: found[name] for name in ("boxes", "score", "classes", "place")}
        lost = self._placed(batch, outputs["score"].shape[1:3]).lost
        told = {name: batch[name] for name in EVALUATION_ONLY if name in batch}
        return kept | told | {"true_boxes": batch["boxes"], "true_classes": batch["classes"], "lost": lost}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """COCO's 12 numbers; the detection `ece` and its `ece_floor`; how many objects found their cell full
        (`crowded_out`); of many passes also `false_positive_auroc_` of `entropy`, `mutual_information` and `score` (1
        less it): the chance that of the boxes scored .3 or more a wrong one is doubted more than a right one.

        Areas are in pixels of the photo where the data knows it, of the network's input otherwise.
        """
        found, truths = _columns(rows)
        measured = coco_scores(found, truths) | detection_calibration(found, truths, score_threshold=_SURE)
        measured |= {"crowded_out": float(rows["lost"].sum())}
        if _DOUBTS[0] not in rows:
            return measured
        doubts = {name: self._at_boxes(rows[name], rows["place"]) for name in _DOUBTS} | {"score": 1 - rows["score"]}
        aurocs = false_positive_auroc(found, truths, doubts, score_threshold=_SURE)
        return measured | {f"false_positive_auroc_{name}": value for name, value in aurocs.items()}

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """`classes`: of each class its `objects`, `ap` (IoU .50 to .95), `ap50` and `ar_100`, -1 without objects; and
        `errors`: how many boxes scored .3 or more and objects have which of `detection_errors.CAUSES`.
        """
        found, truths = _columns(rows)
        tables = coco_tables(found, truths)
        columns = {
            "objects": tables.objects[:, 0],
            "ap": tables.precision[:, 0].mean(-1),
            "ap50": tables.precision[:, 0, 0],
            "ar_100": tables.recall[:, -1, 0].mean(-1),
        }
        measured = {k: {name: x[i].item() for name, x in columns.items()} for i, k in enumerate(tables.classes)}
        none = {"objects": 0, "ap": -1.0, "ap50": -1.0, "ar_100": -1.0}
        classes = [{"class": name} | measured.get(k, none) for k, name in enumerate(rows["class_names"])]
        return {"classes": classes, "errors": detection_errors(found, truths, score_threshold=_SURE)}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        curves = {rows["class_names"][k]: one for k, one in coco_curves(*_columns(rows)).items()}
        found, truths = [], []
        for i in range(min(_SHOWN, len(rows["boxes"]))):
            sure, real = rows["score"][i] >= _SURE, rows["true_classes"][i] >= 0
            found.append(list(zip(*(rows[name][i][sure] for name in ("boxes", "classes", "score")), strict=True)))
            truths.append(list(zip(*(rows[name][i][real] for name in ("true_boxes", "true_classes")), strict=True)))
        images = [rows["image"][i] for i in range(len(found))]
        drawn = detections(images, found, truths, rows["class_names"])
        return {"boxes": drawn, "precision_recall": precision_recall(curves)}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """One row a box, in COCO's results format; see `coco_records`."""
        return coco_records(prediction, spec, photo)

    def document(self, records: Sequence[Record]) -> list[Record]:
        """The rows alone, as COCO's tools read them."""
        return list(records)

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """`boxes`: the photo with its surest boxes."""
        return {"boxes": PngImage(draw_boxes(photo.pixels, self.record(prediction, spec, photo)))}

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

    @property
    def _suppress(self) -> Callable[..., Selection]:
        if self.suppression == "hard":
            return non_maximum_suppression
        return functools.partial(soft_non_maximum_suppression, decay=self.suppression, sigma=self.sigma)

    def _placed(self, batch: Batch, cells: tuple[int, int]) -> grids.Placed:
        anchors = self._anchors() if self.kind == "anchors" else None
        return grids.place_objects(batch["boxes"], _learnt(batch), size=self._size(), cells=cells, anchors=anchors)

    def _at_boxes(self, values: np.ndarray, place: np.ndarray) -> np.ndarray:
        """A map over the grid `[B, ...]` read where boxes lie `[B, n]`; the boxes of a cell share its value."""
        sharing = self.boxes_per_cell if self.kind == "cells" else 1
        return np.take_along_axis(values.reshape(len(values), -1), place // sharing, 1)


def _learnt(batch: Batch) -> jax.Array:
    """The classes `[B, n]` with padding in place of what is not to be learnt."""
    if "learnt" not in batch:
        return batch["classes"]
    xp = np if isinstance(batch["classes"], np.ndarray) else jnp
    return xp.where(batch["learnt"], batch["classes"], -1)


def _columns(rows: Mapping[str, np.ndarray]) -> tuple[Columns, Columns]:
    """Detections and truths as the metrics read them, in the photos' own pixels where those are known."""
    found = {"boxes": rows["boxes"], "scores": rows["score"], "classes": rows["classes"]}
    truths = {"boxes": rows["true_boxes"], "classes": rows["true_classes"]}
    truths |= {name: rows[name] for name in ("difficult", "crowd", "area") if name in rows}
    if "frame" in rows:
        for columns in (found, truths):
            columns["boxes"] = from_frames(columns["boxes"], rows["frame"], rows["photo_size"])
    return found, truths
