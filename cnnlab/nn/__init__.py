"""Building blocks of networks, and functions that initialise and call any network."""

from cnnlab.nn.apply import apply, init
from cnnlab.nn.batch_norm import BatchNorm
from cnnlab.nn.blocks import Conv, Dropout, dropout, flatten, max_pool, spatial_dropout
from cnnlab.nn.convolution import ConvBlock, SeparableConv
from cnnlab.nn.inception import Inception
from cnnlab.nn.positional import PositionMean, pixel_positions, positional_encoding
from cnnlab.nn.residual import BasicBlock, Bottleneck
from cnnlab.nn.upsampling import InterpolatedUp, ResizeUp, TransposedUp, concatenate_skip, crop_centre

__all__ = [
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "ConvBlock",
    "Dropout",
    "Inception",
    "InterpolatedUp",
    "PositionMean",
    "ResizeUp",
    "SeparableConv",
    "TransposedUp",
    "apply",
    "concatenate_skip",
    "crop_centre",
    "dropout",
    "flatten",
    "init",
    "max_pool",
    "pixel_positions",
    "positional_encoding",
    "spatial_dropout",
]


def __dir__() -> list[str]:
    return __all__
