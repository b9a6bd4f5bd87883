"""Pure functions of arrays: convolution and pooling by their definitions, their matrices, gradients and arithmetic.

The layers of networks use the fast forms of `cnnlab.kernels.dispatch` instead.
"""

from cnnlab.ops import arithmetic, filters
from cnnlab.ops.backpropagation import Gradients, backpropagate
from cnnlab.ops.convolution import convolve, cross_correlate, depthwise_separable
from cnnlab.ops.filters import FILTERS, apply_filter
from cnnlab.ops.matrices import connectivity_matrix, im2col
from cnnlab.ops.pooling import adaptive_average_pool, average_pool, max_pool
from cnnlab.ops.spectrum import frequency_matrices, singular_values
from cnnlab.ops.transposed import transposed_convolution

__all__ = [
    "FILTERS",
    "Gradients",
    "adaptive_average_pool",
    "apply_filter",
    "arithmetic",
    "average_pool",
    "backpropagate",
    "connectivity_matrix",
    "convolve",
    "cross_correlate",
    "depthwise_separable",
    "filters",
    "frequency_matrices",
    "im2col",
    "max_pool",
    "singular_values",
    "transposed_convolution",
]


def __dir__() -> list[str]:
    return __all__
