"""Detection on a grid: each cell predicts the objects whose centres lie in it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

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
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task, by_class

_FIGURE_IMAGES = 8
_SURE = 0.3  # lowest score of a detection that figures draw
_DOUBTS = ("entropy", "mutual_information")


@dataclasses.dataclass(frozen=True)
class Detection(Task):
    """A task that finds objects: their boxes, classes and scores.

    It reads the columns `boxes` `[B, n, 4]` (xyxy in pixels) and `classes` `[B, n]` (-1 = padding), and the optional
    columns about boxes in `cnnlab.data.columns`.

    Logits are `[B, S, S', 5 b + k]` with kind `cells` and `[B, S, S', a (5 + k)]` with kind `anchors`; see
    `cnnlab.tasks.grids`. `link` returns arrays on the grid that can be averaged over passes, with m = b or m = a boxes
    per cell: `boxes` `[B, S, S', m, 4]`, `score` `[B, S, S', m]` (the probability of an object), and `probs`
    `[B, S, S', k]`, with anchors `[B, S, S', m, k]`. `decode` returns the boxes that remain after non-maximum
    suppression, the best first: `boxes` `[B, n, 4]` clipped to the image, `score` `[B, n]` (the object's probability
    times its class's), `classes` `[B, n]` (-1, with a score of 0, after the last box), `probs` `[B, n, k]`, and `place`
    `[B, n]`, the index of each box among the boxes of the grid.

    Source: Redmon et al., You Only Look Once, CVPR 2016; with anchors Redmon and Farhadi, YOLO9000, CVPR 2017.

    Attributes:
      kind: `cells` (YOLO V1) predicts one object and one set of class probabilities per cell; `anchors` predicts both
        per anchor, so that a cell can hold several objects.
      image_size: height and width of the input in pixels; `auto` takes the data's.
      boxes_per_cell: number of boxes b that compete for a cell's object.
      num_anchors: number of anchors a, if `anchors` is `auto`.
      anchors: width and height of each anchor in pixels; `auto` clusters the training boxes.
      box_loss: loss of an object's box. `squared` sums the squared errors of the centre (in cells) and of the size
        (with `cells`, square roots of the image's share; with `anchors`, logarithms relative to the anchor). `iou`,
        `giou` (Rezatofighi et al., CVPR 2019), `diou` and `ciou` (Zheng et al., AAAI 2020) are 1 minus the overlap of
        box and object, both xyxy in pixels.
      box_weight: weight of `box_loss`. Use 5 with `squared` (the paper's lambda_coord) and 1 with the other losses,
        whose values are larger.
      no_object_weight: weight of the confidence loss of boxes without an object (lambda_noobj).
      ignore_above: a box without an object is not penalised if its IoU with any object is above this; for `anchors`.
      iou_threshold: if the IoU of two boxes of one class is above this, the one with the lower score is suppressed.
      score_threshold: boxes with this score or a lower one are dropped.
      max_boxes: largest number of boxes per image.
      suppression: treatment of a box that overlaps a better one of its class. `hard` drops it. Soft-NMS (Bodla et al.,
        ICCV 2017) lowers its score: `linear` by the factor `1 - IoU` if the IoU is above `iou_threshold`, `gaussian` by
        `exp(-IoU^2 / sigma)` at any IoU.
      sigma: width of the Gaussian in `gaussian` suppression.
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
    example_score = "f1"
    maximise = True
    predict_options = ("annotations", "ids", "group", "video")

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
        boxes, classes = (dataset["train"].column(name) for name in self.columns)
        real = boxes[classes >= 0]
        wrong = real[~(np.isfinite(real).all(-1) & (real[:, 2:] >= real[:, :2]).all(-1))]
        if len(wrong):
            raise ValueError(f"boxes of {dataset.name} must be xyxy with x1 <= x2, y1 <= y2, found {wrong[0].tolist()}")
        options = {}
        if self.image_size == "auto":
            options["image_size"] = dataset.spec.size
        if self.kind == "anchors" and self.anchors == "auto":
            train = dataset["train"]
            flags = {"learnt": train.column("learnt")} if "learnt" in train[np.arange(1)] else {}
            learnt = boxes[_learnt({"classes": classes} | flags) >= 0]
            anchors = cluster_sizes(learnt[:, 2:] - learnt[:, :2], self.num_anchors)
            options["anchors"] = tuple((round(float(w), 2), round(float(h), 2)) for w, h in anchors)
        return dataclasses.replace(self, **options)

    def remarks(self, dataset: Dataset, shape: tuple[int, ...]) -> list[str]:
        train = dataset["train"]
        classes = _learnt({n: train.column(n) for n in ("classes", "learnt") if n in train[np.arange(1)]})
        cells, slots = shape[1:3], 1 if self.kind == "cells" else self._count()
        lost = grids.crowded_out(train.column("boxes"), classes, size=self._size(), cells=cells, slots=slots)
        if not lost:
            return []
        more = "--task.kind anchors" if self.kind == "cells" else f"more than {slots} anchors (--task.num-anchors)"
        room = "one object" if slots == 1 else f"{slots} objects"
        return [
            f"{lost:,} of {(classes >= 0).sum():,} training objects are not learnt: a cell of the "
            f"{cells[0]}x{cells[1]} grid holds {room}; take a smaller --model.stride, larger images, or {more}"
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
        anchored = grids.read_anchored(logits, self._count())
        boxes = grids.anchored_boxes(anchored, self._anchors(), size=self._size())
        return {"boxes": boxes, "score": jax.nn.sigmoid(anchored.score), "probs": jax.nn.softmax(anchored.logits)}

    def decode(self, outputs: Outputs) -> Prediction:
        probs = outputs["probs"]
        best, classes = probs.max(-1), probs.argmax(-1)
        if self.kind == "cells":  # copied after the maximum: XLA compiles a maximum over the copies very slowly
            probs, best, classes = (
                jnp.broadcast_to(x[:, :, :, None], (*outputs["score"].shape, *x.shape[3:]))
                for x in (probs, best, classes)
            )
        height, width = self._size()
        score = outputs["score"] * best
        flat = [x.reshape(len(x), -1, *x.shape[4:]) for x in (outputs["boxes"], score, classes, probs)]

        def decode_image(boxes: jax.Array, score: jax.Array, classes: jax.Array, probs: jax.Array) -> Prediction:
            boxes = jnp.clip(boxes, 0, jnp.array([width, height, width, height], jnp.float32))
            place, score, valid = self._suppress(
                boxes,
                score,
                classes,
                iou_threshold=self.iou_threshold,
                score_threshold=self.score_threshold,
                max_boxes=min(self.max_boxes, len(boxes)),
            )
            selected = {"boxes": boxes[place], "score": score, "probs": probs[place]}
            selected = {name: jnp.where(valid.reshape(-1, *[1] * (x.ndim - 1)), x, 0) for name, x in selected.items()}
            return Prediction(selected, classes=jnp.where(valid, classes[place], -1), place=place)

        return jax.vmap(decode_image)(*flat)

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        prediction = self.decode(outputs)
        boxes = {name: prediction[name] for name in ("boxes", "score", "classes", "place")}
        lost = self._placed(batch, outputs["score"].shape[1:3]).lost
        flags = {name: batch[name] for name in EVALUATION_ONLY if name in batch}
        return boxes | flags | {"true_boxes": batch["boxes"], "true_classes": batch["classes"], "lost": lost}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes COCO's 12 scores, the detection `ece`, its `ece_floor`, and `crowded_out`.

        `crowded_out` counts the objects whose cell was already full. Over several passes the summary also holds
        `false_positive_auroc_NAME` for `entropy`, `mutual_information` and `score` (as 1 - score): the probability that
        a false box is more uncertain than a correct one, among the boxes that score .3 or more.

        Areas are in the photo's pixels if the data has its size, otherwise in pixels of the network's input.
        """
        predictions, truths = _columns(rows)
        measured = coco_scores(predictions, truths) | detection_calibration(predictions, truths, score_threshold=_SURE)
        measured |= {"crowded_out": float(rows["lost"].sum())}
        if _DOUBTS[0] not in rows:
            return measured
        doubts = {name: self._at_boxes(rows[name], rows["place"]) for name in _DOUBTS} | {"score": 1 - rows["score"]}
        aurocs = false_positive_auroc(predictions, truths, doubts, score_threshold=_SURE)
        return measured | {f"false_positive_auroc_{name}": value for name, value in aurocs.items()}

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns numbers of each image: its true `objects`, and the `boxes` that score .3 or more.

        It counts `correct_boxes`, `wrong_boxes` and `missed` objects by the rules of `detection_errors`. `f1` is
        that of the correct boxes, 1 for an image without boxes and objects.
        """
        predictions, truths = _columns(rows)
        columns = [
            detection_errors(
                *({name: column[i : i + 1] for name, column in part.items()} for part in (predictions, truths)),
                score_threshold=_SURE,
            )
            for i in range(len(rows["score"]))
        ]
        objects = (np.asarray(rows["true_classes"]) >= 0).sum(1)
        right, missed = (np.array([counts[name] for counts in columns]) for name in ("correct", "missed"))
        wrong = np.array([sum(counts.values()) for counts in columns]) - right - missed
        either = 2 * right + wrong + np.maximum(objects - right, 0)
        table = {"objects": objects, "boxes": right + wrong, "correct_boxes": right, "wrong_boxes": wrong}
        return table | {"missed": missed, "f1": np.where(either > 0, 2 * right / np.maximum(either, 1), 1.0)}

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns the tables `classes` and `errors`.

        `classes` holds for each class its `objects`, `ap` (IoU .50 to .95), `ap50` and `ar_100`, -1 without objects.
        `errors` counts boxes that score .3 or more, and missed objects, by cause (`metrics.detection.errors.CAUSES`).
        """
        predictions, truths = _columns(rows)
        tables = coco_tables(predictions, truths)
        columns = {
            "objects": tables.objects[:, 0],
            "ap": tables.precision[:, 0].mean(-1),
            "ap50": tables.precision[:, 0, 0],
            "ar_100": tables.recall[:, -1, 0].mean(-1),
        }
        measured = {k: {name: x[i].item() for name, x in columns.items()} for i, k in enumerate(tables.classes)}
        none = {"objects": 0, "ap": -1.0, "ap50": -1.0, "ar_100": -1.0}
        classes = [{"class": name} | measured.get(k, none) for k, name in enumerate(rows["class_names"])]
        return {"classes": classes, "errors": detection_errors(predictions, truths, score_threshold=_SURE)}

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says how many objects the boxes that score .3 or more find, how many of these boxes are wrong, and the AP."""
        if report["map50"] == -1:
            return "no object to find"
        ap = f"AP {report['map50']:.2f} at IoU .50, {report['map']:.2f} over .50 to .95"
        if "errors" not in report:
            return ap
        objects = sum(record["objects"] for record in report["classes"])
        correct, missed = report["errors"]["correct"], report["errors"]["missed"]
        wrong = sum(report["errors"].values()) - correct - missed
        return f"finds {correct:,} of {objects:,} objects, with {wrong:,} wrong boxes; {ap}"

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        curves = {rows["class_names"][k]: curve for k, curve in coco_curves(*_columns(rows)).items()}
        predictions, truths = [], []
        for i in range(min(_FIGURE_IMAGES, len(rows["boxes"]))):
            sure, real = rows["score"][i] >= _SURE, rows["true_classes"][i] >= 0
            predictions.append(list(zip(*(rows[name][i][sure] for name in ("boxes", "classes", "score")), strict=True)))
            truths.append(list(zip(*(rows[name][i][real] for name in ("true_boxes", "true_classes")), strict=True)))
        images = [rows["image"][i] for i in range(len(predictions))]
        figure = detections(images, predictions, truths, rows["class_names"])
        return {"boxes": figure, "precision_recall": precision_recall(curves)}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record per box, in COCO's results format; see `coco_records`."""
        return coco_records(prediction, spec, photo)

    def annotations(
        self, prediction: Prediction, spec: InputSpec, photo: Photo, *, smallest: int = 1, simplify: float = 0.0
    ) -> list[Record]:
        """Returns the records of all boxes."""
        return self.record(prediction, spec, photo)

    def line(self, record: Record) -> Record:
        """Returns the record with a column for each number of its box: `bbox.x`, `bbox_std.left` ..."""
        names = {"bbox": ("x", "y", "width", "height"), "bbox_std": ("left", "top", "right", "bottom")}
        return record | {name: by_class(keys, record[name]) for name, keys in names.items() if name in record}

    def document(self, records: Sequence[Record]) -> list[Record]:
        """Returns the records as a plain list, the format that COCO's tools read."""
        return list(records)

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """Returns the drawing `boxes`: the photo with its most confident boxes."""
        return {"boxes": PngImage(draw_boxes(photo.pixels, self.record(prediction, spec, photo)))}

    def _size(self) -> tuple[int, int]:
        """Returns the height and width of the input in pixels."""
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
        """Reads a map over the grid `[B, ...]` at the boxes' places `[B, n]`. The boxes of a cell share its value."""
        sharing = self.boxes_per_cell if self.kind == "cells" else 1
        return np.take_along_axis(values.reshape(len(values), -1), place // sharing, 1)


def _learnt(batch: Batch) -> jax.Array:
    """Returns the classes `[B, n]`, with -1 (padding) for objects that training leaves out."""
    if "learnt" not in batch:
        return batch["classes"]
    xp = np if isinstance(batch["classes"], np.ndarray) else jnp
    return xp.where(batch["learnt"], batch["classes"], -1)


def _columns(rows: Mapping[str, np.ndarray]) -> tuple[Columns, Columns]:
    """Returns predicted and true boxes as the metrics read them, in the photos' pixels if the rows have their sizes."""
    predictions = {"boxes": rows["boxes"], "scores": rows["score"], "classes": rows["classes"]}
    truths = {"boxes": rows["true_boxes"], "classes": rows["true_classes"]}
    truths |= {name: rows[name] for name in ("difficult", "crowd", "area") if name in rows}
    if "frame" in rows:
        for columns in (predictions, truths):
            columns["boxes"] = from_frames(columns["boxes"], rows["frame"], rows["photo_size"])
    return predictions, truths
