"""Anchor boxes: the sizes that a data set's boxes cluster around."""

import numpy as np


def size_iou(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Computes the IoU of boxes that share a corner, so that only their sizes count; 0 if both are empty.

    Args:
      sizes: `[..., n, 2]` width and height; JAX or NumPy.
      anchors: `[k, 2]`.

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
    """Anchors `[k, 2]` by k-means with the distance 1 - IoU, the smallest first; of several starts the best.

    Source: Redmon and Farhadi, YOLO9000: Better, Faster, Stronger, CVPR 2017, section 2, dimension clusters.

    Args:
      sizes: `[n, 2]` width and height; those without area have no shape to cluster and are left out.
      k: how many anchors; where there are fewer different sizes, some are repeated.
      seed: seed of the starts.
      restarts: how many starts.

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
        raise ValueError("sizes must hold a box with an area, found none")
    generator = np.random.default_rng(seed)
    tries = [_cluster(sizes, k, generator) for _ in range(restarts)]
    best = max(tries, key=lambda anchors: size_iou(sizes, anchors).max(1).mean())
    return best[np.argsort(best.prod(1), kind="stable")]


def _cluster(sizes: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Runs k-means to its fixed point from k sizes drawn at random."""
    anchors = sizes[generator.choice(len(sizes), k, replace=len(sizes) < k)]
    nearest = None
    for _ in range(300):
        choice = size_iou(sizes, anchors).argmax(1)
        if nearest is not None and (choice == nearest).all():
            break
        nearest = choice
        anchors = np.stack([sizes[nearest == i].mean(0) if (nearest == i).any() else anchors[i] for i in range(k)])
    return anchors
