"""How far a map can be trusted: which neighbours it keeps, and how well neighbours name a class."""

from collections.abc import Sequence

import numpy as np

from cnnlab.embeddings.checks import check_features
from cnnlab.embeddings.neighbours import nearest_images

MOST = 10_000
"""Largest number of images whose neighbours in the map are looked up in the space of features."""

_PORTION = 1 << 22  # distances in memory at a time


def trustworthiness(
    features: np.ndarray, plane: np.ndarray, *, neighbours: int = 12, most: int = MOST, seed: int = 0
) -> float:
    """Computes the trustworthiness of a map: 1 if neighbours in the plane are neighbours in the space of features.

    An image that is among the k nearest in the plane, but only the r-th nearest in the space, r > k, costs r - k. The
    sum of the costs is scaled so that the worst map has about 0 (Venna and Kaski, ICANN 2001, equation 1):
    1 - 2 / (n k (2N - 3k - 1)) * sum. It takes all n = N images, or `most` of them at random, each against all others.

    Args:
      features: `[N, D]`.
      plane: `[N, 2]`, the map.
      neighbours: number of neighbours k, fewer than N / 2.
      most: largest number of images whose neighbours are looked up; it bounds the time.
      seed: seed of the choice of these images.

    >>> space = np.float32([[0, 0], [1, 0], [2, 0], [3, 0], [9, 9]])
    >>> shuffled = space[[4, 1, 0, 3, 2]]
    >>> trustworthiness(space, space, neighbours=2), round(trustworthiness(space, shuffled, neighbours=2), 2)
    (1.0, 0.33)
    """
    check_features(features)
    check_features(plane)
    n, k = len(features), neighbours
    if len(plane) != n:
        raise ValueError(f"plane must hold a place for each of {n} images, found {len(plane)}")
    if not 1 <= k < n / 2:
        raise ValueError(f"neighbours must lie in 1..{(n - 1) // 2} for {n} images, found {k}")
    chosen = np.arange(n)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    near = nearest_images(plane, k)[0][chosen]
    points = np.asarray(features, np.float64)
    points = points - points.mean(0)  # smaller numbers, fewer digits lost in the difference of squares
    squares, cost = np.square(points).sum(1), 0
    for start in range(0, len(chosen), portion := max(1, _PORTION // n)):
        rows = chosen[start : start + portion]
        distance = squares - 2 * points[rows] @ points.T  # squared, less the square of the row's own length
        distance[np.arange(len(rows)), rows] = np.inf
        own = np.take_along_axis(distance, near[start : start + portion], 1)
        rank = np.stack([(distance < own[:, j, None]).sum(1) for j in range(k)], 1) + 1
        cost += np.maximum(rank - k, 0).sum()
    return float(1 - cost * 2 / (len(chosen) * k * (2 * n - 3 * k - 1)))


def knn_accuracy(points: np.ndarray, labels: Sequence[int] | np.ndarray, *, neighbours: int = 10) -> float:
    """Computes how often the commonest class of an image's nearest other images is its own (leave one out).

    Images of unknown class (-1) neither vote nor count. Of several commonest classes the first one is chosen.

    Args:
      points: `[N, D]`, features, or the places of a map.
      labels: `[N]`, class of each image.
      neighbours: number of neighbours that vote, fewer than N.

    >>> knn_accuracy(np.float32([[0], [1], [1.5], [8], [9]]), [0, 0, 1, 1, 1], neighbours=1)
    0.6
    """
    labels = np.asarray(labels)
    if labels.shape != (len(points),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be a class for each of {len(points)} images, found {list(labels.shape)}")
    points, labels = points[labels >= 0], labels[labels >= 0]
    check_features(points, least=neighbours + 1, reason=f"a vote of {neighbours} neighbours")
    votes = labels[nearest_images(points, neighbours)[0]]
    count = np.zeros((len(labels), labels.max() + 1), np.int32)
    np.add.at(count, (np.arange(len(labels))[:, None], votes), 1)
    return float((count.argmax(1) == labels).mean())
