"""Segmentation: one class a pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.metrics import segmentation as metrics
from cnnlab.plots import figures
from cnnlab.tasks.task import Batch, Outputs, Prediction, Rows, require

_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """Reads `mask` `[B, H, W]`, -1 = ignore; links to `probs` `[B, H, W, k]`, decodes to `mask`.

    An image's loss is the mean over its pixels that are not ignored, and it weighs as many pixels as it has of them.

    Attributes:
      kind: the loss; `cross_entropy` over the classes of a pixel.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"

    logits = "map"
    monitor = "mean_iou"
    maximise = True

    def resolve(self, dataset: Dataset) -> Segmentation:
        require(dataset, "mask", "segmentation")
        if len(dataset.spec.classes) < 2:
            raise ValueError(f"segmentation needs two classes or more, {dataset.name} has {dataset.spec.classes}")
        return self

    def head(self, spec: InputSpec) -> int:
        return len(spec.classes)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        mask = batch["mask"]
        value = losses.cross_entropy(logits, mask)
        known = (mask >= 0).sum((1, 2)).astype(jnp.float32)
        return value.sum((1, 2)) / jnp.maximum(known, 1), known / mask[0].size

    def link(self, logits: jax.Array) -> Outputs:
        return {"probs": jax.nn.softmax(logits)}

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs, mask=outputs["probs"].argmax(-1))

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        k = outputs["probs"].shape[-1]
        guess = outputs["probs"].argmax(-1)
        pair = jnp.where(batch["mask"] >= 0, batch["mask"] * k + guess, k * k)
        count = jax.vmap(lambda one: jnp.bincount(one.ravel(), length=k * k + 1)[:-1].reshape(k, k))
        small = jnp.int8 if k <= 128 else jnp.int32
        return {"confusion": count(pair), "guess": guess.astype(small), "mask": batch["mask"].astype(small)}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`pixel_accuracy`, `mean_iou` and `dice` over all pixels of all images."""
        return metrics.scores(rows["confusion"].sum(0, dtype=np.int64))

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        confusion = rows["confusion"]
        k = confusion.shape[-1]
        right = np.trace(confusion, axis1=1, axis2=2) / np.maximum(confusion.sum((1, 2)), 1)
        worst = np.argsort(right, kind="stable")[:_SHOWN]
        images = [rows["image"][i] for i in worst]
        return {
            "confusion": figures.confusion_matrix(confusion.sum(0, dtype=np.int64), rows["class_names"]),
            "masks": figures.masks(images, rows["mask"][worst], rows["guess"][worst], k),
        }
