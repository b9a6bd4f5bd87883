"""Anchor boxes: typical sizes of the boxes in a dataset, from clustering."""

import numpy as np


def size_iou(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Computes the IoU of boxes that share a corner, so that it depends only on their sizes; 0 if both are empty.

    Args:
      sizes: widths and heights `[..., n, 2]`; a JAX or NumPy array.
      anchors: widths and heights `[k, 2]`.

    Returns:
      `[..., n, k]`.

    >>> size_iou(np.array([[2.0, 2.0]]), np.array([[2.0, 1.0], [4.0, 4.0]])).tolist()
    [[0.5, 0.25]]
    """
    pair, other = sizes[..., :, None, :], anchors[None]
    overlap = (pair * (pair <= other) + other * (pair > other)).prod(-1)
    union = pair.prod(-1) + other.prod(-1) - overlap
    return overlap / (union + (union == 0))


def cluster_sizes(sizes: np.ndarray, k: int, *, seed: int = 0, restarts: int = 10) -> np.ndarray:
    """Computes anchors `[k, 2]` by k-means with the distance 1 - IoU, sorted by area.

    The result is the best of several random starts: the anchors with the largest mean IoU.

    Source: Redmon and Farhadi, YOLO9000: Better, Faster, Stronger, CVPR 2017, section 2, dimension clusters.

    Args:
      sizes: widths and heights `[n, 2]` of boxes. Sizes without area are ignored.
      k: number of anchors. If there are fewer different sizes, some anchors are repeated.
      seed: seed of the random starts.
      restarts: number of random starts.

    Raises:
      ValueError: k is below 1, or no size has an area.

    >>> cluster_sizes(np.array([[10.0, 10], [12, 12], [40, 20], [44, 20]]), 2).tolist()
    [[11.0, 11.0], [42.0, 20.0]]
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, found {k}")
    sizes = np.asarray(sizes, np.float64).reshape(-1, 2)
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        raise ValueError("sizes must contain at least one box with an area, found none")
    generator = np.random.default_rng(seed)
    tries = [_cluster(sizes, k, generator) for _ in range(restarts)]
    best = max(tries, key=lambda anchors: size_iou(sizes, anchors).max(1).mean())
    return best[np.argsort(best.prod(1), kind="stable")]


def _cluster(sizes: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Runs k-means from k sizes that are drawn at random until the clusters no longer change."""
    anchors = sizes[generator.choice(len(sizes), k, replace=len(sizes) < k)]
    nearest = None
    for _ in range(300):
        choice = size_iou(sizes, anchors).argmax(1)
        if nearest is not None and (choice == nearest).all():
            break
        nearest = choice
        anchors = np.stack([sizes[nearest == i].mean(0) if (nearest == i).any() else anchors[i] for i in range(k)])
    return anchors
