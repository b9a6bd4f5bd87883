"""Pure functions of arrays: convolution and pooling as they are defined, their matrices, gradients and arithmetic.

Layers of networks take their fast forms, `lowering.convolution` and `lowering.max_pool`.
"""

from cnnlab.ops import arithmetic, boxes, filters, lowering, warp
from cnnlab.ops.backpropagation import Gradients, backpropagate
from cnnlab.ops.convolution import convolve, cross_correlate, depthwise_separable
from cnnlab.ops.filters import FILTERS, apply_filter
from cnnlab.ops.matrices import connectivity_matrix, im2col
from cnnlab.ops.pooling import average_pool, max_pool
from cnnlab.ops.transposed import transposed_convolution

__all__ = [
    "FILTERS",
    "Gradients",
    "apply_filter",
    "arithmetic",
    "average_pool",
    "backpropagate",
    "boxes",
    "connectivity_matrix",
    "convolve",
    "cross_correlate",
    "depthwise_separable",
    "filters",
    "im2col",
    "lowering",
    "max_pool",
    "transposed_convolution",
    "warp",
]
