"""The table of the columns that examples may have, with the properties of each."""

from typing import Literal, NamedTuple

import numpy as np

Columns = dict[str, np.ndarray]


class Column(NamedTuple):
    """The properties of one column.

    Attributes:
      dtype: dtype to which arrays are cast; None if the column keeps its own.
      axes: names of the axes, beginning with `n` for the examples; a number is the length of an axis.
      lowest: smallest class index that is allowed; None if the column holds no class indices.
      follows: how the column changes when augmentation moves pixels: it is warped as `pixels`, `nearest` (indices, -1
        where nothing is known) or `smooth` (weights), recomputed as `boxes`, or stays the same (`still`). A column that
        cannot change with the pixels (`fixed`) forbids such augmentation.
      training: whether training reads the column; only the evaluation reads the others.
    """

    dtype: type | None
    axes: str
    lowest: int | None = None
    follows: Literal["pixels", "nearest", "smooth", "boxes", "still", "fixed"] = "still"
    training: bool = True


COLUMNS: dict[str, Column] = {
    "image": Column(None, "n H W C", follows="pixels"),
    "weight": Column(np.float32, "n"),
    "label": Column(np.int32, "n", lowest=0),
    "labels": Column(np.int32, "n k"),
    "target": Column(np.float32, "n d", follows="fixed"),
    "text": Column(np.int32, "n m", lowest=-1, follows="still"),
    "pair": Column(np.int32, "n"),
    "above": Column(np.int32, "n"),
    "clean": Column(np.float32, "n H W d", follows="fixed"),
    "mask": Column(np.int32, "n H W", lowest=-1, follows="nearest"),
    "pixel_weight": Column(np.float32, "n H W", follows="smooth"),
    "instances": Column(np.int32, "n H W", follows="nearest"),
    "boxes": Column(np.float32, "n m 4", follows="boxes"),
    "classes": Column(np.int32, "n m", lowest=-1, follows="boxes"),
    "learnt": Column(np.bool_, "n m"),
    "difficult": Column(np.bool_, "n m", training=False),
    "crowd": Column(np.bool_, "n m", training=False),
    "area": Column(np.float32, "n m", training=False),
    "photo_size": Column(np.int32, "n 2", training=False),
    "photo": Column(np.int32, "n", training=False),
    "frame": Column(np.float32, "n 4", training=False),
}
"""Columns by name; `Examples` explains them. A column that is not listed here is an array of numbers, which a user's
own task may read."""

EVALUATION_ONLY = tuple(name for name, column in COLUMNS.items() if not column.training)
"""The columns that only the evaluation reads."""


def follows(*ways: str) -> frozenset[str]:
    """Returns the names of the columns that follow moved pixels in one of these ways.

    >>> sorted(follows("smooth", "boxes"))
    ['boxes', 'classes', 'pixel_weight']
    """
    return frozenset(name for name, column in COLUMNS.items() if column.follows in ways)
