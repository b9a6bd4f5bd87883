"""The figure of wrong predictions with the maps of the prediction and of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.errors import check_known
from cnnlab.explain.methods import METHODS
from cnnlab.plots.explanations import Pair, pair_sheet
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 12  # images in the figure


def check_explain(trained: Trained, method: str) -> None:
    """Raises `ValueError` if there is no such method, or the task has no single label for each image."""
    check_known("method", method, METHODS)
    if not complete(trained.task).decides:
        raise ValueError(
            "--explain draws the maps of a wrong class and of the true one, for networks that learn one label; "
            f"this network learns {' and '.join(complete(trained.task).columns)}: use cnnlab explain"
        )


def wrong_explained(members: Sequence[Trained], rows: Mapping[str, np.ndarray], method: str) -> Figure:
    """Draws the most confident wrong predictions, or the least confident ones if none is wrong.

    Args:
      members: the network, or the members of an ensemble.
      rows: rows of a split, with `image` and `class_names`.
      method: name of the method in `METHODS`.
    """
    wrong = wrong_first(rows)
    if not len(wrong):
        title = "none wrong; the least confident predictions"
        return pairs_explained(members, rows, method, least_sure(rows)[:_MOST], title)
    return pairs_explained(members, rows, method, wrong[:_MOST], f"{len(wrong)} wrong of {len(rows['label'])}")


def wrong_first(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the indices of the wrong predictions, the most confident one first."""
    probs, label = rows["probs"], rows["label"]
    wrong = np.flatnonzero((probs.argmax(-1) != label) & (label >= 0))
    return wrong[np.argsort(-probs.max(-1)[wrong], kind="stable")]


def least_sure(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the indices of the labelled examples, the least confident prediction first."""
    order = np.argsort(rows["probs"].max(-1), kind="stable")
    return order[rows["label"][order] >= 0]


def pairs_explained(
    members: Sequence[Trained], rows: Mapping[str, np.ndarray], method: str, order: np.ndarray, title: str
) -> Figure:
    """Draws examples with the maps of their prediction and of their truth.

    Args:
      members: the network, or the members of an ensemble.
      rows: rows of a split, with `image` and `class_names`.
      method: name of the method in `METHODS`.
      order: indices of the examples.
      title: beginning of the figure's title.
    """
    probs, label, names = rows["probs"], rows["label"], rows["class_names"]
    guess, confidence = probs.argmax(-1), probs.max(-1)
    images = np.stack([rows["image"][i] for i in order])
    trained = members[0] if len(members) == 1 else tuple(members)
    maps = [np.asarray(METHODS[method].explain(trained, images, chosen[order]).map) for chosen in (guess, label)]
    pairs = [
        Pair(
            images[n], f"{names[guess[i]]}, p = {confidence[i]:.2f}", maps[0][n], f"true {names[label[i]]}", maps[1][n]
        )
        for n, i in enumerate(order)
    ]
    return pair_sheet(pairs, title=f"{title}: {METHODS[method].title} of the prediction and of the truth")
