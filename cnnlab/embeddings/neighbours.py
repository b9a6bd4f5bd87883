"""Neighbours in the space of features: nearest images, means, sums and differences of images, and lines between two."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from cnnlab.embeddings.checks import check_features
from cnnlab.errors import check_known
from cnnlab.metrics.ranking import unit_length
from cnnlab.quoting import cut

METRICS = ("cosine", "euclidean")
"""What is near: a large inner product of features of length 1, or a small distance."""

Metric = Literal["cosine", "euclidean"]

Point = int | np.ndarray | Sequence["Point"]
"""The number of an image, a vector `[D]`, or a list of points, which stands for their mean."""


@dataclasses.dataclass(frozen=True, eq=False)
class Retrieval:
    """The images nearest to a point of the space, and how sure that is.

    Attributes:
      index: `[k]`, numbers of the images, the nearest first.
      names: `[k]`, their names.
      labels: `[k]`, their labels; None if the space has none.
      distance: `[k]`, their distances from the point; in the metric cosine 1 - `similarity`.
      similarity: `[k]`, their inner products with the point, both of length 1; None in the metric euclidean.
      label: the commonest of the labels, of several the one of the nearest image; None without labels.
      share: share of the k images that have this label; None without labels.
      typicality: share of the images of the space whose own nearest image is at least as far away as the nearest image
        is from the point. Near 0 the point lies where the space has no images, and what is retrieved says little.
    """

    index: np.ndarray
    names: Sequence[str]
    labels: Sequence[str] | None
    distance: np.ndarray
    similarity: np.ndarray | None
    label: str | None
    share: float | None
    typicality: float

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        sure = "" if self.label is None else f"{self.share:.0%} are {self.label!r}, "
        return (
            f"Retrieval of {len(self)} images, {sure}typicality {self.typicality:.2f}\n"
            f"  {cut(', '.join(map(str, self.names)), 300)}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """Images as points: their features, names and labels.

    In the metric cosine every image is its features divided by their length, so that the nearest image is the one with
    the largest inner product; features that are all 0 have the inner product 0 with every image. A point is the number
    of an image, a vector `[D]` such as the features of a new photo, or a list of points, which stands for their mean.

    Attributes:
      features: `[N, D]`, from `extract`.
      names: `[N]`; by default the numbers.
      labels: `[N]`, names of classes; None without labels.
      metric: `cosine` or `euclidean`.

    Raises:
      ValueError: there are fewer than two images, a feature is NaN, or names or labels have another length.

    >>> space = Space(np.float32([[2, 0], [3, 1], [0, 1], [0, 5]]), labels=["cat", "cat", "dog", "dog"])
    >>> space.nearest(0, count=1).names, space.combine([0, 2], [1], count=1).label
    (['1'], 'dog')
    """

    features: np.ndarray
    names: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    metric: Metric = "cosine"

    def __post_init__(self):
        check_known("metric", self.metric, METRICS)
        check_features(self.features, least=2)
        for name in ("names", "labels"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.features):
                raise ValueError(
                    f"{name} must hold one entry for each of {len(self.features)} images, found {len(given)}"
                )

    def __repr__(self) -> str:
        labels = "without labels" if self.labels is None else f"{len(set(self.labels))} labels"
        return f"Space of {len(self.features):,} images\n  {self.features.shape[1]} features, {labels}, {self.metric}"

    def nearest(self, point: Point, count: int = 8) -> Retrieval:
        """Returns the images nearest to a point; images of which the point is made are left out.

        Args:
          point: an image, a vector, or a list whose mean is the point.
          count: number of images.
        """
        return self._retrieve(self._vector(point), count, without=_numbers(point))

    def mean(self, points: Sequence[Point]) -> np.ndarray:
        """Returns the mean of points, `[D]`; in the metric cosine that of their vectors of length 1."""
        return self._vector(list(points))

    def combine(self, plus: Sequence[Point], minus: Sequence[Point] = (), count: int = 8) -> Retrieval:
        """Returns the images nearest to a sum of images less others: a - b + c is `combine([a, c], [b])`.

        The images of the sum are left out, because a - b + c is nearly always nearest to a or c themselves.

        Args:
          plus: points that are added.
          minus: points that are subtracted.
          count: number of images.
        """
        signed = [(1, point) for point in plus] + [(-1, point) for point in minus]
        if not signed:
            raise ValueError("plus and minus are empty; give one image or more")
        total = np.sum([sign * self._vector(point) for sign, point in signed], 0)
        return self._retrieve(total, count, without=_numbers([*plus, *minus]))

    def line(self, first: Point, last: Point, steps: int = 5, count: int = 1) -> list[Retrieval]:
        """Returns the images nearest to evenly spaced points between two images, which are left out.

        Args:
          first: the image from which the line starts.
          last: the image to which it leads.
          steps: number of points, without the ends.
          count: number of images at each point.
        """
        ends, without = (self._vector(first), self._vector(last)), _numbers([first, last])
        shares = np.linspace(0, 1, steps + 2)[1:-1]
        return [self._retrieve((1 - t) * ends[0] + t * ends[1], count, without=without) for t in shares]

    @functools.cached_property
    def _points(self) -> np.ndarray:
        """`[N, D]` float32, of length 1 in the metric cosine."""
        features = np.asarray(self.features, np.float32)
        return unit_length(features) if self.metric == "cosine" else features

    @functools.cached_property
    def _nearest_distances(self) -> np.ndarray:
        """`[N]`, sorted distances of all images to their nearest other one."""
        distance = nearest_images(self._points, 1)[1][:, 0]
        return np.sort(distance**2 / 2 if self.metric == "cosine" else distance)

    def _vector(self, point: Point) -> np.ndarray:
        if isinstance(point, int | np.integer):
            if not 0 <= point < len(self.features):
                raise ValueError(f"there is no image {point}; the space holds 0..{len(self.features) - 1}")
            return self._points[point]
        if isinstance(point, list | tuple):
            if not point:
                raise ValueError("a list of points is empty; give one image or more")
            return np.mean([self._vector(each) for each in point], 0)
        vector = np.asarray(point, np.float32)
        if vector.shape != self.features.shape[1:] or not np.isfinite(vector).all():
            wrong = "NaN or infinity" if vector.shape == self.features.shape[1:] else list(vector.shape)
            raise ValueError(
                f"a point must be the number of an image, {self.features.shape[1]} finite numbers, or a list of "
                f"points, found {wrong}"
            )
        return unit_length(vector) if self.metric == "cosine" else vector

    def _retrieve(self, vector: np.ndarray, count: int, *, without: list[int]) -> Retrieval:
        others = len(self.features) - len(without)
        if not 1 <= count <= others:
            raise ValueError(f"count must lie in 1..{others}, the images that are not part of the query; found {count}")
        similarity = None
        if self.metric == "cosine":
            similarity = self._points @ unit_length(vector)
            distance = 1 - similarity
        else:
            distance = np.linalg.norm(self._points - vector, axis=1)
        ranked = np.array(distance)
        ranked[without] = np.inf
        index = np.argsort(ranked, kind="stable")[:count]
        labels = None if self.labels is None else [str(self.labels[i]) for i in index]
        label, number = (None, 0) if labels is None else Counter(labels).most_common(1)[0]
        known = self._nearest_distances
        nearer = np.searchsorted(known, distance[index[0]] * (1 - 1e-5) - 1e-6)  # rounding of float32
        return Retrieval(
            index=index,
            names=[str(i if self.names is None else self.names[i]) for i in index],
            labels=labels,
            distance=distance[index],
            similarity=None if similarity is None else similarity[index],
            label=label,
            share=None if labels is None else number / count,
            typicality=1 - nearer / len(known),
        )


def nearest_images(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers and the Euclidean distances of the images nearest to each image, both `[N, count]`.

    The nearest comes first; no image is its own neighbour.

    Args:
      features: `[N, D]`.
      count: number of neighbours, fewer than N.

    >>> nearest_images(np.float32([[0], [1], [3]]), 1)[0].tolist()
    [[1], [0], [1]]
    """
    from sklearn.neighbors import NearestNeighbors

    check_features(features, least=count + 1)
    method = "brute" if features.shape[1] > 15 else "auto"  # trees are slower than a matrix product in many dimensions
    distance, index = NearestNeighbors(n_neighbors=count, algorithm=method).fit(features).kneighbors()
    return index, distance


def _numbers(point: Point) -> list[int]:
    """Returns the numbers of the images of which a point is made, each once."""
    if isinstance(point, int | np.integer):
        return [int(point)]
    return sorted({n for each in point for n in _numbers(each)}) if isinstance(point, list | tuple) else []
