"""Losses as pure functions of arrays, one value an element; tasks take the means."""

from cnnlab.losses.boxes import ciou_loss, diou_loss, giou_loss, iou_loss
from cnnlab.losses.pointwise import (
    POINTWISE,
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    gaussian_negative_log_likelihood,
    huber,
    squared_error,
)

__all__ = [
    "POINTWISE",
    "absolute_error",
    "binary_cross_entropy",
    "ciou_loss",
    "cross_entropy",
    "diou_loss",
    "gaussian_negative_log_likelihood",
    "giou_loss",
    "huber",
    "iou_loss",
    "squared_error",
]
