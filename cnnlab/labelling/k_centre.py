"""Images that cover a pool: greedy k-centre in the space of features."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_PORTION = 1 << 24  # distances that are computed at a time


class Centres(NamedTuple):
    """The images that were chosen, in order.

    Attributes:
      index: `[k]` their numbers in the pool.
      distance: `[k]` the distance of each, when it was chosen, to the nearest image that was labelled or chosen.
    """

    index: np.ndarray
    distance: np.ndarray


def k_centre(
    features: np.ndarray,
    count: int,
    *,
    labelled: np.ndarray | None = None,
    accept: Callable[[int], bool] = lambda index: True,
) -> Centres:
    """Chooses images that cover a pool: each is the one farthest from all that are labelled or chosen so far.

    The greatest distance from any image to its nearest chosen one is at most twice the smallest that is possible.
    Without labelled images the first is the one nearest to the mean.

    Source: Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR 2018,
    algorithm 1.

    Args:
      features: `[N, D]` features of the pool; their distance is Euclidean.
      count: number of images to choose; if fewer are accepted, all of those are chosen.
      labelled: `[L, D]` features of images that have labels.
      accept: function from the number of an image to whether it may be chosen; it is called once for each image that
        would be next.

    Raises:
      ValueError: `count` is not positive, or the features differ in length.

    >>> k_centre(np.array([[0.0], [1.0], [7.0], [4.0]]), 2, labelled=np.array([[0.5]])).index.tolist()
    [2, 3]
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, found {count}")
    features = np.asarray(features, np.float32)
    squares = np.square(features).sum(1)
    nearest = np.full(len(features), np.inf, np.float32)
    if labelled is not None and len(labelled):
        if labelled.shape[1:] != features.shape[1:]:
            raise ValueError(f"features must have one length, found {features.shape[1]} and {labelled.shape[1]}")
        nearest = _nearest(features, squares, np.asarray(labelled, np.float32))
    index, distance, open_ = [], [], np.ones(len(features), bool)
    while len(index) < count and open_.any():
        if np.isinf(nearest).any():  # there is neither a labelled nor a chosen image
            place = int(np.where(open_, np.square(features - features.mean(0)).sum(1), np.inf).argmin())
        else:
            place = int(np.where(open_, nearest, -1).argmax())
        open_[place] = False
        if accept(place):
            index.append(place)
            distance.append(np.sqrt(nearest[place]))
            nearest = np.minimum(nearest, np.square(features - features[place]).sum(1))
    return Centres(np.array(index, int), np.array(distance, np.float64))


def _nearest(features: np.ndarray, squares: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the squared distance `[N]` of each row of features to the nearest other one."""
    best = np.full(len(features), np.inf, np.float32)
    portion = max(1, _PORTION // len(features))
    for start in range(0, len(others), portion):
        part = others[start : start + portion]
        distance = squares[:, None] - 2 * features @ part.T + np.square(part).sum(1)
        best = np.minimum(best, np.maximum(distance, 0).min(1))
    return best
