"""Building blocks of networks, and the one way to call any network."""

from cnnlab.nn.apply import apply, init
from cnnlab.nn.blocks import Conv, dropout, flatten, max_pool, spatial_dropout
from cnnlab.nn.positional import pixel_positions, positional_encoding

__all__ = [
    "Conv",
    "apply",
    "dropout",
    "flatten",
    "init",
    "max_pool",
    "pixel_positions",
    "positional_encoding",
    "spatial_dropout",
]
