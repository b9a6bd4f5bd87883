"""Segmentation: one class a pixel."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import check_known
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage, map_image
from cnnlab.metrics.segmentation import confusion as metrics
from cnnlab.metrics.segmentation.doubt import doubt_scores
from cnnlab.metrics.segmentation.shape_scores import shape_scores
from cnnlab.plots.confusion import confusion_matrix
from cnnlab.plots.segmentation import prediction_grid
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task, by_class

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal[(*losses.PIXELS, *losses.REGIONS)]

_SHOWN = 6  # of the worst images, in one picture
_PICTURES = 20  # of them, one each
_DOUBTS = ("variance", "entropy", "mutual_information")
_PORTION = 64  # masks at a time


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """Reads `mask` `[B, H, W]`, -1 = ignore; links to `probs` `[B, H, W, k]`, decodes to `mask`.

    An image's loss is the mean over its pixels that are not ignored, weighted by class and by `pixel_weight`
    `[B, H, W]` where the data has such a column (see `losses.border_weights`); the image weighs as much as they do
    together. Losses of regions are measured in each image by itself.

    Attributes:
      kind: the loss, or several whose sum it is: `cross_entropy` and `focal` of pixels; `dice`, `generalised_dice`,
        `jaccard` and `tversky` of regions.
      class_weights: of the losses of pixels: one weight a class; `balanced`: inverse to the class's share of the
        training pixels, mean 1 a pixel; `median`: the median share over the class's own, shares taken over the images
        that show the class (Eigen and Fergus, ICCV 2015).
      sigmoid: one logit for two classes, a binary cross-entropy.
      gamma: of `focal`: how much it forgets what is easy.
      alpha: of `tversky`: what a pixel that is guessed and not true costs.
      beta: likewise one that is true and not guessed.
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
    maximise = True
    reads_variance = True
    predict_options = ("tile",)

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
            raise ValueError(f"a sigmoid tells two classes apart, {dataset.name} has {k}; leave --task.sigmoid out")
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
        """The loss with those of its keyword parameters that are fields of the task."""
        keywords = [name for name, one in inspect.signature(loss).parameters.items() if one.kind is one.KEYWORD_ONLY]
        fields = {field.name for field in dataclasses.fields(self)}
        return functools.partial(loss, **{name: getattr(self, name) for name in keywords if name in fields})

    def _of_classes(self, logits: jax.Array) -> jax.Array:
        """A sigmoid's logit z as those of two classes: 0 and z."""
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
        count = jax.vmap(lambda one: jnp.bincount(one.ravel(), length=k * k + 1)[:-1].reshape(k, k))
        small = jnp.int8 if k <= 128 else jnp.int32
        rows = {"confusion": count(pair), "guess": guess.astype(small), "mask": mask.astype(small)}
        rows["confidence"] = probs.max(-1)
        if "variance" in outputs:
            spread = jnp.take_along_axis(outputs["variance"]["probs"], guess[..., None], -1)
            rows["variance"] = spread[..., 0]
        return rows

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`pixel_accuracy`, `mean_iou` and `dice` over all pixels of all images; `foreground_iou`, of the second class
        of two; and of their doubt as in `doubt_scores`.

        Over passes or members the doubt is also measured by `variance` (of the guessed class's probability), `entropy`
        and `mutual_information`.
        """
        confusion = rows["confusion"].sum(0, dtype=np.int64)
        found = metrics.scores(confusion)
        if len(confusion) == 2:
            found["foreground_iou"] = float(metrics.class_scores(confusion)["iou"][1])
        known = rows["mask"] >= 0
        doubts = {name: rows[name][known] for name in _DOUBTS if name in rows}
        correct = (rows["guess"] == rows["mask"])[known]
        return found | doubt_scores(rows["confidence"][known], correct, doubts)

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """`classes`: of each class its `pixels` in the masks, `iou`, `dice`, and its `shape_scores`."""
        confusion = rows["confusion"].sum(0, dtype=np.int64)
        found = {"pixels": confusion.sum(1), **metrics.class_scores(confusion)}
        columns = {name: found[name].tolist() for name in ("pixels", "iou", "dice")}
        columns |= shape_scores(rows["guess"], rows["mask"], len(confusion))
        return {
            "classes": [
                {"class": name} | {key: values[k] for key, values in columns.items()}
                for k, name in enumerate(rows["class_names"])
            ]
        }

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        confusion = rows["confusion"]
        k = confusion.shape[-1]
        right = np.trace(confusion, axis1=1, axis2=2) / np.maximum(confusion.sum((1, 2)), 1)
        worst = np.argsort(right, kind="stable")
        drawn = {
            "confusion": confusion_matrix(confusion.sum(0, dtype=np.int64), rows["class_names"]),
            "masks": _picture(rows, worst[:_SHOWN], k),
        }
        return drawn | {f"images/{i:04}": _picture(rows, [i], k) for i in worst[:_PICTURES]}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """One row: the share of each class, and the means of the entropies over the pixels."""
        mask, names = np.asarray(prediction.mask), spec.classes
        out = {
            "file": str(photo.path),
            "share": by_class(names, np.bincount(mask.ravel(), minlength=len(names)) / mask.size),
        }
        maps = ("entropy", "mutual_information")
        return [out | {f"mean_{name}": float(prediction[name].mean()) for name in maps if name in prediction}]

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """The maps: `mask` holds class indices, shown in colours; `mean` is the second class's probability of two.

        255 is 1 in `mean`, log k in `entropy`, and the map's largest value in `variance` (of the guessed class's
        probability) and `mutual_information`.
        """
        mask, probs = np.asarray(prediction.mask), np.asarray(prediction.probs)
        maps = {"mask": mask} | ({"mean": probs[..., 1]} if probs.shape[-1] == 2 else {})
        if "variance" in prediction:
            maps["variance"] = np.take_along_axis(np.asarray(prediction.variance), mask[..., None], -1)[..., 0]
        maps |= {name: np.asarray(prediction[name]) for name in _DOUBTS[1:] if name in prediction}
        k = len(spec.classes)
        return {name: map_image(name, values, k, largest=np.max(values)) for name, values in maps.items()}


def _picture(rows: Mapping[str, np.ndarray], chosen: Sequence[int], k: int) -> Figure:
    """Image, truth, guess, how sure it is and errors of some examples, one below the other."""
    guess, confidence = rows["guess"][chosen], rows["confidence"][chosen]
    maps = {"E[y]": np.where(guess == 1, confidence, 1 - confidence)} if k == 2 else {"confidence": confidence}
    if "variance" in rows:
        maps["Var[y]"] = rows["variance"][chosen]
    return prediction_grid([rows["image"][i] for i in chosen], rows["mask"][chosen], guess, maps, k)


def _frequency_weights(masks, classes: tuple[str, ...], kind: str) -> tuple[float, ...]:
    """Weights by the classes' shares of the pixels that are not ignored, a portion of the masks at a time."""
    k = len(classes)
    count, shown = np.zeros(k), np.zeros(k)
    for start in range(0, len(masks), _PORTION):
        for mask in masks[np.arange(start, min(start + _PORTION, len(masks)))]:
            here = np.bincount(mask[mask >= 0], minlength=k)
            count += here
            shown += (here > 0) * here.sum()
    if not count.all():
        raise ValueError(
            f"{kind} class weights need every class in training; {classes[int(count.argmin())]!r} is missing"
        )
    share = count / shown
    weights = count.sum() / (k * count) if kind == "balanced" else np.median(share) / share
    return tuple(round(float(weight), 6) for weight in weights)
