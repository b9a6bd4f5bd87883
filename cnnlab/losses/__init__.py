"""Losses as pure functions of arrays.

Each returns one value per element or per image, which the tasks average; `orthogonality` is one of a kernel.
"""

from cnnlab.losses.borders import border_weights, class_weights
from cnnlab.losses.orthogonality import orthogonality
from cnnlab.losses.overlap import BOXES, ciou_loss, diou_loss, giou_loss, iou_loss
from cnnlab.losses.pointwise import (
    PIXELS,
    POINTWISE,
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    focal,
    gaussian_negative_log_likelihood,
    huber,
    squared_error,
)
from cnnlab.losses.ranking import TRIPLETS, margin_ranking, triplet
from cnnlab.losses.regions import REGIONS, dice, generalised_dice, jaccard, tversky
from cnnlab.losses.sequence import ctc, needed_frames

__all__ = [
    "BOXES",
    "PIXELS",
    "POINTWISE",
    "REGIONS",
    "TRIPLETS",
    "absolute_error",
    "binary_cross_entropy",
    "border_weights",
    "ciou_loss",
    "class_weights",
    "cross_entropy",
    "ctc",
    "dice",
    "diou_loss",
    "focal",
    "gaussian_negative_log_likelihood",
    "generalised_dice",
    "giou_loss",
    "huber",
    "iou_loss",
    "jaccard",
    "margin_ranking",
    "needed_frames",
    "orthogonality",
    "squared_error",
    "triplet",
    "tversky",
]


def __dir__() -> list[str]:
    return __all__
