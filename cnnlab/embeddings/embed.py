"""An embedding: the features of images, maps of them in the plane, and how far each map can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from cnnlab.data import Examples
from cnnlab.embeddings.extract import extract
from cnnlab.embeddings.project import PROJECTIONS, project
from cnnlab.embeddings.quality import knn_accuracy, trustworthiness
from cnnlab.errors import check_known
from cnnlab.trained import Trained

TRUST_NEIGHBOURS, VOTES = 12, 10


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding:
    """Features of N images, and maps of them. In a notebook it shows its maps.

    Attributes:
      features: `[N, D]` float32.
      planes: map by name of the projection, each `[N, 2]` float32.
      quality: scores of each map by name: `trustworthiness` for 12 neighbours and, for images with one class each,
        `knn_accuracy`, the leave-one-out accuracy of 10 neighbours in the plane. Of few images fewer neighbours count;
        a score that so few images do not have is NaN.
      knn_accuracy: the leave-one-out accuracy of 10 neighbours in the space of features; None without classes.
      labels: `[N]`, class of each image, -1 = unknown; None without classes.
      classes: names of the classes.
    """

    features: np.ndarray
    planes: Mapping[str, np.ndarray]
    quality: Mapping[str, Mapping[str, float]]
    knn_accuracy: float | None = None
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()

    @property
    def plane(self) -> np.ndarray:
        """The first map, `[N, 2]`."""
        return next(iter(self.planes.values()))

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        inside = "" if self.knn_accuracy is None else f", accuracy of neighbours {self.knn_accuracy:.1%}"
        return (
            f"Embedding of {len(self):,} images, {self.features.shape[1]} features{inside}\n"
            f"  {'; '.join(f'{name}: {quality_text(scores)}' for name, scores in self.quality.items())}"
        )

    def _repr_png_(self) -> bytes:
        """Draws the maps, for notebooks."""
        from cnnlab.files.figures import png_bytes
        from cnnlab.plots.planes import draw_planes

        return png_bytes(draw_planes(self.planes, self.labels, self.classes, titles=titles(self)))


def embed(
    trained: Trained,
    images: jax.Array | Examples,
    *,
    layer: str | None = None,
    method: str | Sequence[str] = "tsne",
    seed: int = 0,
    neighbours: int | None = None,
    labels: np.ndarray | None = None,
    batch_size: int = 256,
) -> Embedding:
    """Computes the features of images and places them in the plane, with scores of what the map keeps.

    Args:
      trained: the network.
      images: `[N, H, W, C]`, uint8 or in [0, 1], or the examples of a split.
      layer: name of the layer, or `pixels`; by default the input of the last layer, see `extract`.
      method: `pca`, `tsne` or `umap`, or several of them.
      seed: seed of the maps; the same seed gives the same maps.
      neighbours: number of neighbours that t-SNE and UMAP keep, see `project`.
      labels: `[N]`, class of each image, -1 = unknown; by default the column `label` of the examples.
      batch_size: number of images in a pass.

    Raises:
      ValueError: as `extract` and `project`.

    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), jax.random.uniform(jax.random.key(0), (40, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> embed(trained, images, method="pca").plane.shape
    (40, 2)
    """
    methods = [method] if isinstance(method, str) else list(dict.fromkeys(method))
    if not methods:
        raise ValueError(f"method is empty; name one or more of {', '.join(PROJECTIONS)}")
    for name in methods:
        check_known("projection", name, PROJECTIONS)
    if labels is None and isinstance(images, Examples) and "label" in images.columns:
        labels = images.column("label")
    features = extract(trained, images, layer=layer, batch_size=batch_size)
    planes = {name: project(features, name, seed=seed, neighbours=neighbours) for name in methods}
    return measured(features, planes, labels=labels, classes=trained.spec.classes)


def measured(
    features: np.ndarray,
    planes: Mapping[str, np.ndarray],
    *,
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
) -> Embedding:
    """Returns an embedding of features and maps with all its scores.

    Args:
      features: `[N, D]`.
      planes: maps by name, each `[N, 2]`.
      labels: `[N]`, class of each image, -1 = unknown.
      classes: names of the classes.
    """
    near = min(TRUST_NEIGHBOURS, (len(features) - 1) // 2)
    votes = 0 if labels is None else min(VOTES, int((np.asarray(labels) >= 0).sum()) - 1)

    def scores(plane: np.ndarray) -> dict[str, float]:
        kept = {"trustworthiness": trustworthiness(features, plane, neighbours=near) if near else float("nan")}
        return kept if votes < 1 else kept | {"knn_accuracy": knn_accuracy(plane, labels, neighbours=votes)}

    return Embedding(
        features=features,
        planes=planes,
        quality={name: scores(plane) for name, plane in planes.items()},
        knn_accuracy=None if votes < 1 else knn_accuracy(features, labels, neighbours=votes),
        labels=labels,
        classes=classes,
    )


def quality_text(scores: Mapping[str, float]) -> str:
    """Returns the scores of a map as a text.

    >>> quality_text({"trustworthiness": 0.9912, "knn_accuracy": 0.97})
    'trustworthiness 0.991, accuracy of neighbours 97.0%'
    """
    votes = f", accuracy of neighbours {scores['knn_accuracy']:.1%}" if "knn_accuracy" in scores else ""
    return f"trustworthiness {scores['trustworthiness']:.3f}{votes}"


def titles(embedding: Embedding) -> dict[str, str]:
    """Returns a title for each map: its projection and its scores."""
    return {name: f"{PROJECTIONS[name].title}\n{quality_text(scores)}" for name, scores in embedding.quality.items()}
