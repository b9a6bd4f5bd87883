"""Intraclass variation: how well a network knows the unusual examples of each class."""

from typing import Any

import numpy as np

from cnnlab.data import Examples
from cnnlab.embeddings.extract import last_features
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained, evaluation_rows, one_pass_rows

GROUPS = 5


def vary(trained: Trained, examples: Examples, *, batch_size: int) -> list[dict[str, Any]]:
    """Measures accuracy by how far examples lie from the mean of their class.

    Distances are taken in the input of the network's last layer, see `class_distances`.

    Args:
      trained: a classifier with one label per image.
      examples: one split.
      batch_size: examples at a time.

    Returns:
      A record for each fifth of the examples, from the most typical to the most unusual: `share`, the ends of the fifth
      in percent, its mean `distance`, `examples`, `accuracy` and mean `confidence`. Empty if no class has two examples.
    """
    rows = evaluation_rows(trained, examples, batch_size=batch_size, rows=_rows)
    distance = class_distances(rows["features"], rows["label"])
    known = np.flatnonzero(np.isfinite(distance))
    order = known[np.argsort(distance[known], kind="stable")]
    correct, confidence = rows["probs"].argmax(-1) == rows["label"], rows["probs"].max(-1)
    return [
        {
            "share": f"{100 * i // GROUPS}-{100 * (i + 1) // GROUPS} %",
            "distance": float(distance[group].mean()),
            "examples": len(group),
            "accuracy": float(correct[group].mean()),
            "confidence": float(confidence[group].mean()),
        }
        for i, group in enumerate(np.array_split(order, GROUPS))
        if len(group)
    ]


@jit
def _rows(trained: Trained, batch: dict) -> dict:
    return one_pass_rows(trained, batch) | {"features": last_features(trained, batch["image"])}


def class_distances(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns each example's distance from the mean of the other examples of its class, relative to the class's mean.

    Leaving the example itself out keeps small classes from looking compact. Relative distances make classes comparable,
    of which some spread more than others.

    Args:
      features: `[n, d]`.
      labels: `[n]`, -1 = unknown.

    Returns:
      Distances `[n]`; their mean over a class is 1. NaN for unknown labels and for the only example of a class.

    >>> class_distances(np.array([[0.0], [1.0], [5.0], [9.0]]), np.array([0, 0, 0, 1])).round(3).tolist()
    [1.0, 0.5, 1.5, nan]
    """
    features = np.asarray(features, np.float64)
    out = np.full(len(labels), np.nan)
    for label in np.unique(labels[labels >= 0]):
        (places,) = np.nonzero(labels == label)
        n = len(places)
        if n > 1:
            apart = np.linalg.norm(features[places] - features[places].mean(0), axis=1) * n / (n - 1)
            out[places] = apart / apart.mean() if apart.any() else 1.0
    return out
