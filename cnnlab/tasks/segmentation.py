"""Segmentation: one class per pixel."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import check_known
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage, map_image
from cnnlab.geometry.keyhole import keyhole
from cnnlab.geometry.polygons import polygons
from cnnlab.geometry.simplify import simplified
from cnnlab.metrics.segmentation import confusion as metrics
from cnnlab.metrics.segmentation.doubt import doubt_scores
from cnnlab.metrics.segmentation.shape_scores import shape_scores
from cnnlab.plots.confusion import confusion_matrix
from cnnlab.plots.segmentation import prediction_grid
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task, by_class

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal[(*losses.PIXELS, *losses.REGIONS)]

_GRID_IMAGES = 6  # worst images in the figure `masks`
_IMAGE_FIGURES = 20  # worst images with a figure of their own
_DOUBTS = ("variance", "entropy", "mutual_information")
_PORTION = 64  # masks in memory at a time


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """A task that predicts a class for each pixel.

    It reads the column `mask` `[B, H, W]`, -1 = ignored. `link` returns `probs` `[B, H, W, k]`, `decode` adds `mask`.

    An image's loss is the weighted mean over its pixels that are not ignored. A pixel's weight is that of its class
    times the column `pixel_weight` `[B, H, W]`, if the data has one (see `losses.border_weights`). The image's weight
    is proportional to the sum of its pixels' weights. Region losses are computed per image.

    Attributes:
      kind: loss, or several losses that are added: the pixel losses `cross_entropy` and `focal`, and the region losses
        `dice`, `generalised_dice`, `jaccard` and `tversky`.
      class_weights: weight of each class in the pixel losses; `balanced`: inversely proportional to the class's share
        of the training pixels, with mean 1 over the pixels; `median`: the median of all classes' shares divided by the
        class's share, where a share is taken over the images that contain the class (Eigen and Fergus, ICCV 2015).
      sigmoid: predict two classes from one logit, with a binary cross-entropy.
      gamma: exponent of `focal`; the larger it is, the less easy pixels count.
      alpha: weight of false positives in `tversky`.
      beta: weight of false negatives in `tversky`.
    """

    kind: Kind | tuple[Kind, ...] = "cross_entropy"
    class_weights: Literal["balanced", "median"] | tuple[float, ...] | None = None
    sigmoid: bool = False
    gamma: float = 2.0
    alpha: float = 0.3
    beta: float = 0.7

    logits = "map"
    columns = ("mask",)
    monitor = "mean_iou"
    example_score = "mean_iou"
    maximise = True
    reads_variance = True
    predict_options = ("annotations", "tile")

    def __post_init__(self):
        if not self._kinds:
            raise ValueError("kind must name a loss, found none")
        for kind in self._kinds:
            check_known("loss", kind, (*losses.PIXELS, *losses.REGIONS))
        if self.gamma < 0 or min(self.alpha, self.beta) <= 0:
            raise ValueError(
                f"gamma must be 0 or more, alpha and beta above 0, found {self.gamma}, {self.alpha} and {self.beta}"
            )
        if isinstance(self.class_weights, str):
            check_known("class_weights", self.class_weights, ("balanced", "median"))
        elif self.class_weights is not None and not (min(self.class_weights) >= 0 < max(self.class_weights)):
            raise ValueError(f"class_weights must be 0 or more, not all of them 0, found {self.class_weights}")

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)

    def resolve(self, dataset: Dataset) -> Segmentation:
        masks, k = dataset["train"].column("mask"), len(dataset.spec.classes)
        if k < 2:
            raise ValueError(f"segmentation needs two classes or more, {dataset.name} has {dataset.spec.classes}")
        if self.sigmoid and k != 2:
            raise ValueError(f"a sigmoid separates two classes, {dataset.name} has {k}; leave --task.sigmoid out")
        weights = self.class_weights
        if isinstance(weights, str):
            weights = _frequency_weights(masks, dataset.spec.classes, weights)
        if weights is not None and len(weights) != k:
            raise ValueError(f"class_weights must hold {k} numbers for {k} classes, found {len(weights)}")
        return dataclasses.replace(self, class_weights=weights)

    def head(self, spec: InputSpec) -> int:
        return 1 if self.sigmoid else len(spec.classes)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        mask, logits = batch["mask"], self._of_classes(logits)
        weights = losses.class_weights(mask, self.class_weights) * batch.get("pixel_weight", 1.0)
        total = weights.sum((1, 2))
        value = jnp.zeros(len(mask))
        for kind in self._kinds:
            if kind in losses.PIXELS:
                each = (weights * self._with_options(losses.PIXELS[kind])(logits, mask)).sum((1, 2))
                value += each / jnp.where(total > 0, total, 1)
            else:
                value += self._with_options(losses.REGIONS[kind])(jax.nn.softmax(logits), mask)
        return value, total / mask[0].size

    def _with_options(self, loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        """Binds those keyword parameters of a loss that are fields of the task."""
        keywords = [name for name, x in inspect.signature(loss).parameters.items() if x.kind is x.KEYWORD_ONLY]
        fields = {field.name for field in dataclasses.fields(self)}
        return functools.partial(loss, **{name: getattr(self, name) for name in keywords if name in fields})

    def _of_classes(self, logits: jax.Array) -> jax.Array:
        """Returns the logits of all classes; a sigmoid's logit z becomes the logits 0 and z of two classes."""
        return jnp.concatenate([jnp.zeros_like(logits), logits], -1) if self.sigmoid else logits

    def link(self, logits: jax.Array) -> Outputs:
        return {"probs": jax.nn.softmax(self._of_classes(logits))}

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs, mask=outputs["probs"].argmax(-1))

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        probs, mask = outputs["probs"], batch["mask"]
        k = probs.shape[-1]
        guess = probs.argmax(-1)
        pair = jnp.where(mask >= 0, mask * k + guess, k * k)
        count = jax.vmap(lambda pairs: jnp.bincount(pairs.ravel(), length=k * k + 1)[:-1].reshape(k, k))
        small = jnp.int8 if k <= 128 else jnp.int32
        rows = {"confusion": count(pair), "guess": guess.astype(small), "mask": mask.astype(small)}
        rows["confidence"] = probs.max(-1)
        if "variance" in outputs:
            spread = jnp.take_along_axis(outputs["variance"]["probs"], guess[..., None], -1)
            rows["variance"] = spread[..., 0]
        return rows

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes `pixel_accuracy`, `mean_iou` and `dice` over all pixels of all images, and the `doubt_scores`.

        With two classes the summary also holds `foreground_iou`, the IoU of the second class. Over several passes or
        members, doubt is measured by `variance` (of the predicted class's probability), `entropy` and
        `mutual_information` as well as by confidence.
        """
        confusion = rows["confusion"].sum(0, dtype=np.int64)
        scores = metrics.scores(confusion)
        if len(confusion) == 2:
            scores["foreground_iou"] = float(metrics.class_scores(confusion)["iou"][1])
        known = rows["mask"] >= 0
        doubts = {name: rows[name][known] for name in _DOUBTS if name in rows}
        correct = (rows["guess"] == rows["mask"])[known]
        return scores | doubt_scores(rows["confidence"][known], correct, doubts)

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns `pixel_accuracy`, `mean_iou` and the mean `confidence` of each image, NaN without labelled pixels."""
        known = rows["mask"] >= 0
        scores = [metrics.scores(confusion) if confusion.any() else {} for confusion in rows["confusion"]]
        columns = {
            name: np.array([each.get(name, np.nan) for each in scores]) for name in ("pixel_accuracy", "mean_iou")
        }
        total = np.where(known, rows["confidence"], 0).sum((1, 2), dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return columns | {"confidence": total / known.sum((1, 2))}

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns the table `classes`: `pixels` in the true masks, `iou`, `dice` and `shape_scores` of each class."""
        confusion = rows["confusion"].sum(0, dtype=np.int64)
        scores = {"pixels": confusion.sum(1), **metrics.class_scores(confusion)}
        columns = {name: scores[name].tolist() for name in ("pixels", "iou", "dice")}
        columns |= shape_scores(rows["guess"], rows["mask"], len(confusion))
        return {
            "classes": [
                {"class": name} | {key: values[k] for key, values in columns.items()}
                for k, name in enumerate(rows["class_names"])
            ]
        }

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says the share of correct pixels, the mean IoU, and which class has the lowest."""
        text = f"{100 * report['pixel_accuracy']:.1f} % of the pixels right; mean IoU {report['mean_iou']:.2f}"
        known = [record for record in report.get("classes", ()) if not math.isnan(record["iou"])]
        if not known:
            return text
        worst = min(known, key=lambda record: record["iou"])
        return f"{text}, lowest for {worst['class']} ({worst['iou']:.2f})"

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        confusion = rows["confusion"]
        k = confusion.shape[-1]
        right = np.trace(confusion, axis1=1, axis2=2) / np.maximum(confusion.sum((1, 2)), 1)
        worst = np.argsort(right, kind="stable")
        figures = {
            "confusion": confusion_matrix(confusion.sum(0, dtype=np.int64), rows["class_names"]),
            "masks": _figure(rows, worst[:_GRID_IMAGES], k),
        }
        return figures | {f"images/{i:04}": _figure(rows, [i], k) for i in worst[:_IMAGE_FIGURES]}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record: the share of each class, and the means of the entropies over the pixels."""
        mask, names = np.asarray(prediction.mask), spec.classes
        out = {
            "file": str(photo.path),
            "share": by_class(names, np.bincount(mask.ravel(), minlength=len(names)) / mask.size),
        }
        maps = ("entropy", "mutual_information")
        return [out | {f"mean_{name}": float(prediction[name].mean()) for name in maps if name in prediction}]

    def annotations(
        self, prediction: Prediction, spec: InputSpec, photo: Photo, *, smallest: int = 1, simplify: float = 0.0
    ) -> list[Record]:
        """Returns the outline of each connected region of each class but the first, the background.

        The score is the mean probability of the region's class over its pixels; the doubts are means too. A mask of
        another size than the photo is enlarged by repeating pixels.
        """
        mask = np.asarray(prediction.mask)
        maps = {"score": np.asarray(prediction.probs).max(-1)}
        maps |= {name: np.asarray(prediction[name]) for name in _DOUBTS[1:] if name in prediction}
        where = np.ix_(*((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(photo.size, mask.shape, strict=True)))
        means = {name: map[where][None] for name, map in maps.items()}
        shapes = simplified(polygons(mask[where], means, smallest=smallest), simplify)
        return [
            {"category": spec.classes[shape.kind], "outline": keyhole(shape.rings), "pixels": shape.pixels}
            | {name: float(value) for name, value in shape.means.items()}
            for shape in shapes
        ]

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """Returns the maps of a prediction as images: class indices in colours, and uncertainties in grey.

        The maps are `mask`, with two classes `mean` (the second class's probability), and, where the prediction has
        them, `variance` (of the predicted class's probability), `entropy` and `mutual_information`. Grey value 255
        stands for 1 in `mean`, log k in `entropy`, and the map's largest value in `variance` and `mutual_information`.
        """
        mask, probs = np.asarray(prediction.mask), np.asarray(prediction.probs)
        maps = {"mask": mask} | ({"mean": probs[..., 1]} if probs.shape[-1] == 2 else {})
        if "variance" in prediction:
            maps["variance"] = np.take_along_axis(np.asarray(prediction.variance), mask[..., None], -1)[..., 0]
        maps |= {name: np.asarray(prediction[name]) for name in _DOUBTS[1:] if name in prediction}
        k = len(spec.classes)
        return {name: map_image(name, values, k, largest=np.max(values)) for name, values in maps.items()}


def _figure(rows: Mapping[str, np.ndarray], chosen: Sequence[int], k: int) -> Figure:
    """Draws image, truth, prediction, confidence and errors of the chosen examples, one row per example."""
    predicted, confidence = rows["guess"][chosen], rows["confidence"][chosen]
    maps = {"E[y]": np.where(predicted == 1, confidence, 1 - confidence)} if k == 2 else {"confidence": confidence}
    if "variance" in rows:
        maps["Var[y]"] = rows["variance"][chosen]
    return prediction_grid(
        [rows["image"][i] for i in chosen], rows["mask"][chosen], predicted, maps, rows["class_names"]
    )


def _frequency_weights(masks, classes: tuple[str, ...], kind: str) -> tuple[float, ...]:
    """Computes class weights from the classes' shares of the pixels that are not ignored.

    Masks are read a portion at a time, so that memory does not hold them all.
    """
    k = len(classes)
    count, extent = np.zeros(k), np.zeros(k)
    for start in range(0, len(masks), _PORTION):
        for mask in masks[np.arange(start, min(start + _PORTION, len(masks)))]:
            counts = np.bincount(mask[mask >= 0], minlength=k)
            count += counts
            extent += (counts > 0) * counts.sum()
    if not count.all():
        raise ValueError(
            f"{kind} class weights need every class in training; {classes[int(count.argmin())]!r} is missing"
        )
    share = count / extent
    weights = count.sum() / (k * count) if kind == "balanced" else np.median(share) / share
    return tuple(round(float(weight), 6) for weight in weights)
