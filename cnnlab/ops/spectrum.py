"""The singular values of a convolution as a linear map, without its matrix."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def singular_values(
    kernel: ArrayLike,
    size: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Computes the singular values of a convolution with circular border, the largest first, in float64.

    The Fourier transform turns the convolution into one small matrix `[C_out, C_in]` a frequency, whose singular values
    are those of the whole map (Sedghi et al., The Singular Values of Convolutional Layers, ICLR 2019, theorem 6). With
    stride, the frequencies that coincide after it form one matrix `[C_out, s_h s_w C_in]`, divided by the square root
    of `s_h s_w`.

    Args:
      kernel: `[h, w, C_in / groups, C_out]`.
      size: height and width of the map, multiples of the stride.
      stride: pixels from one place of the kernel to the next, along height and width.
      dilation: pixels from one weight of the kernel to the next, along height and width.
      groups: number of groups of channels.

    Returns:
      `[n]`, n is the smaller one of the numbers of outputs and inputs (of each group, if outputs are fewer than the
      inputs of that group).

    Raises:
      ValueError: the kernel has other axes, or the stride does not divide the size.

    >>> singular_values(np.ones((1, 2, 1, 1)), (1, 4)).round(3).tolist()  # |1 + exp(i f)| for f = 0, ±π/2 and π
    [2.0, 1.414, 1.414, 0.0]
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 4 or kernel.shape[-1] % groups:
        raise ValueError(
            f"kernel must be [h, w, C_in, C_out] with C_out a multiple of groups={groups}, found {list(kernel.shape)}"
        )
    if any(n % s for n, s in zip(size, stride, strict=True)):
        raise ValueError(f"size must be multiples of the stride {tuple(stride)}, found {tuple(size)}")
    height, width, depth, units = kernel.shape
    spread = np.zeros((*size, depth, units))
    for y, x in itertools.product(range(height), range(width)):
        spread[y * dilation[0] % size[0], x * dilation[1] % size[1]] += kernel[y, x]
    rows, columns = (n // s for n, s in zip(size, stride, strict=True))
    matrices = np.fft.fft2(spread, axes=(0, 1)).reshape(stride[0], rows, stride[1], columns, depth, groups, -1)
    matrices = matrices.transpose(1, 3, 5, 6, 0, 2, 4).reshape(rows, columns, groups, units // groups, -1)
    values = np.linalg.svd(matrices / np.sqrt(stride[0] * stride[1]), compute_uv=False)
    return np.sort(values.ravel())[::-1]
