"""Metrics of retrieval: whether the images nearest to an image have its class."""

from typing import NamedTuple

import numpy as np

RANKS = (1, 5)
"""Numbers of retrieved images for which the recall is computed."""

TIE = 1e-6
"""Differences of similarity up to this size, the rounding of float32, are ties."""

_CHUNK = 1 << 22  # similarities that are sorted at a time


class Retrieved(NamedTuple):
    """The score of each image as a query to all other images of a split.

    Attributes:
      recall: for each number k of `RANKS`, `[n]`: 1 if one of the k most similar images has the class of the query, 0
        if none has.
      average_precision: `[n]`, mean over the images of the query's class of the precision at their rank.
      nearest: `[n]`, number of the most similar image.

    A query that is the only image of its class has no score: all are NaN.
    """

    recall: dict[int, np.ndarray]
    average_precision: np.ndarray
    nearest: np.ndarray


def retrieve(embeddings: np.ndarray, labels: np.ndarray) -> Retrieved:
    """Ranks for each image all others by their similarity, and scores the ranks of those that have its class.

    The similarity is the inner product of embeddings of length 1. Ties count against: of images that are equally
    similar, those of another class come first. So a network that maps all images to one point scores no better than by
    chance.

    Source: Musgrave et al., A Metric Learning Reality Check, ECCV 2020, for the use of both scores; the recall is that
    of Oh Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016.

    Args:
      embeddings: `[n, D]`; they are divided by their lengths.
      labels: `[n]`, class of each image.

    Raises:
      ValueError: the shapes do not fit, there are fewer than two images, or an embedding is NaN or infinite.

    >>> scores = retrieve(np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.3]]), np.array([0, 1, 1, 0]))
    >>> scores.recall[1].tolist(), scores.average_precision.tolist()
    ([0.0, 0.0, 0.0, 0.0], [0.5, 0.3333333333333333, 0.5, 0.5])
    """
    embeddings, labels = np.asarray(embeddings), np.asarray(labels)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1] or len(labels) < 2:
        raise ValueError(
            f"embeddings must be [n, D] and labels [n] for two images or more, found the shapes {embeddings.shape} and "
            f"{labels.shape}"
        )
    wrong = np.flatnonzero(~np.isfinite(embeddings).all(1))
    if len(wrong):
        raise ValueError(f"embeddings must be finite, found NaN or infinity in embeddings[{wrong[0]}]")
    points = unit_length(embeddings.astype(np.float32))
    portion = max(1, _CHUNK // len(points))
    parts = [_of_queries(points, labels, slice(i, i + portion)) for i in range(0, len(points), portion)]
    first, precision, nearest = (np.concatenate(part) for part in zip(*parts, strict=True))
    alone = np.isinf(first)
    return Retrieved({k: np.where(alone, np.nan, first <= k) for k in RANKS}, precision, nearest)


def retrieval_scores(scores: Retrieved) -> dict[str, float]:
    """Computes `recall_at_1`, `recall_at_5` and `map`, the means over all queries that have a score; NaN if none has.

    >>> retrieval_scores(retrieve(np.array([[1, 0], [1, 0.1], [0, 1]]), np.array([0, 0, 1])))
    {'recall_at_1': 1.0, 'recall_at_5': 1.0, 'map': 1.0}
    """
    columns = {f"recall_at_{k}": column for k, column in scores.recall.items()} | {"map": scores.average_precision}
    known = ~np.isnan(scores.average_precision)
    return {name: float(column[known].mean()) if known.any() else float("nan") for name, column in columns.items()}


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Divides vectors `[..., D]` by their lengths; a vector of length 0 stays 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _of_queries(points: np.ndarray, labels: np.ndarray, queries: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns for some queries the rank of the first image of the class (infinity if none), the average precision, and
    the nearest image."""
    own = np.arange(len(points))[queries]
    row = np.arange(len(own))
    same = labels[own][:, None] == labels
    same[row, own] = False
    similarity = points[own] @ points.T
    similarity[same] -= TIE
    similarity[row, own] = -np.inf  # the query comes last
    order = np.argsort(-similarity, axis=1)
    hits = np.take_along_axis(same, order, 1)
    count = hits.sum(1)
    precision = hits.cumsum(1) / np.arange(1, len(points) + 1)
    with np.errstate(invalid="ignore"):
        average = np.where(hits, precision, 0).sum(1) / count
    return np.where(count > 0, hits.argmax(1) + 1.0, np.inf), average, order[:, 0]
