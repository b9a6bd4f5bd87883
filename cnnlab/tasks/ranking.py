"""Ranking: an embedding in which images of one class are nearer to each other than to images of other classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.metrics.ranking import Retrieved, retrieval_scores, retrieve, unit_length
from cnnlab.plots.neighbours import draw_neighbours
from cnnlab.tasks.task import Batch, Outputs, Prediction, Rows, Task

_QUERIES, _SHOWN = 10, 8  # rows and columns of the figure


@dataclasses.dataclass(frozen=True)
class Ranking(Task):
    """A task that trains an embedding by the triplet loss (Schroff et al., FaceNet, CVPR 2015), to retrieve images.

    It reads the column `label` `[B]`. The network's outputs, divided by their length, are `embedding` `[B, size]`. The
    inner product of two embeddings says how alike the images are, also of classes that training has not seen.

    Attributes:
      size: number of outputs.
      margin: distance by which images of other classes should be farther away than those of the own class.
      triplets: which images of other classes count, for each pair of images of a class: `all`, or `semi_hard`, the
        nearest one that is farther away than the pair.
      images_per_class: number of images of one class that stand together in a training batch, 2 or more.
    """

    size: int = 64
    margin: float = 0.2
    triplets: Literal[tuple(losses.TRIPLETS)] = "all"
    images_per_class: int = 4

    logits = "vector"
    columns = ("label",)
    monitor = "map"
    maximise = True
    example_score = "average_precision"
    predict_options = ("gallery",)

    def __post_init__(self):
        if self.triplets not in losses.TRIPLETS:
            raise ValueError(f"triplets must be {' or '.join(losses.TRIPLETS)}, found {self.triplets!r}")
        if not self.margin > 0:
            raise ValueError(f"margin must be above 0, or all embeddings become one point; found {self.margin}")
        for name, least in (("size", 2), ("images_per_class", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, found {getattr(self, name)}")

    def resolve(self, dataset: Dataset) -> Ranking:
        for split in ("train", "validation"):
            count = np.bincount(dataset[split].column("label"))
            if (count > 0).sum() < 2 or count.max() < 2:
                found = "one class" if (count > 0).sum() < 2 else "one image of each class"
                raise ValueError(
                    f"no triplet can be formed: it needs two images of one class and one of another, but the {split} "
                    f"split of {dataset.name} has {found}; add images"
                )
        return self

    def head(self, spec: InputSpec) -> int:
        return self.size

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns the loss of each image as an anchor, which depends on the whole batch.

        Rows of weight 0 are no positives and no negatives. An image without a positive or a negative has weight 0.
        """
        label = jnp.where(batch.get("weight", 1) > 0, batch["label"], -1)
        return losses.triplet(_normalised(logits), label, margin=self.margin, choice=self.triplets)

    def link(self, logits: jax.Array) -> Outputs:
        return {"embedding": _normalised(logits)}

    def decode(self, outputs: Outputs) -> Prediction:
        """Returns the embedding, of length 1; of several passes it is the direction of their mean."""
        return Prediction(embedding=_normalised(outputs["embedding"]))

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        return {"embedding": outputs["embedding"], "label": batch["label"]}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes `recall_at_1`, `recall_at_5` and `map`: each image is a query to all others of the split."""
        return retrieval_scores(_retrieved(rows))

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says how often the nearest image has the class of the query."""
        if np.isnan(report["recall_at_1"]):
            return "no class has two images, so none can be retrieved"
        return f"the nearest image has the same class for {100 * report['recall_at_1']:.1f} % of the images"

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns the table `classes`: the number of `examples`, `recall_at_1` and `ap` of each class that occurs.

        `ap` is the mean average precision of the class's images as queries.
        """
        scores, label = _retrieved(rows), np.asarray(rows["label"])
        classes = [(name, label == k) for k, name in enumerate(rows["class_names"])]
        return {
            "classes": [
                {
                    "class": name,
                    "examples": int(own.sum()),
                    "recall_at_1": float(scores.recall[1][own].mean()),
                    "ap": float(scores.average_precision[own].mean()),
                }
                for name, own in classes
                if own.any()
            ]
        }

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns `truth`, `prediction` (the class of the nearest image), `correct` and `average_precision`."""
        scores, names = _retrieved(rows), np.array(rows["class_names"], object)
        label = np.asarray(rows["label"])
        nearest = label[scores.nearest]
        columns = {"truth": names[label], "prediction": names[nearest], "correct": nearest == label}
        return columns | {"average_precision": scores.average_precision}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Draws `neighbours`: the first image of up to ten classes, and beside it the eight nearest images."""
        label = np.asarray(rows["label"])
        queries = np.unique(label, return_index=True)[1][:_QUERIES]
        points = unit_length(np.asarray(rows["embedding"], np.float32))
        similarity = points[queries] @ points.T
        similarity[np.arange(len(queries)), queries] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(_SHOWN, len(label) - 1)]
        images = lambda chosen: np.stack([rows["image"][i] for i in chosen])  # noqa: E731
        near = np.stack([images(chosen) for chosen in nearest])
        return {"neighbours": draw_neighbours(images(queries), {"nearest images": near})}


def _normalised(vectors: jax.Array) -> jax.Array:
    """Divides vectors by their lengths; the gradient is finite at 0, too."""
    square = (vectors**2).sum(-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def _retrieved(rows: Mapping[str, np.ndarray]) -> Retrieved:
    return retrieve(rows["embedding"], rows["label"])
