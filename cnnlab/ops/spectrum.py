"""A convolution as one small matrix a frequency, and its singular values."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def frequency_matrices(
    kernel: jax.Array | np.ndarray,
    size: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> jax.Array | np.ndarray:
    """Computes the matrix by which a convolution with circular border acts on each frequency.

    The Fourier transform turns the convolution into one matrix `[C_out, C_in]` a frequency. With stride, the s_h s_w
    frequencies that coincide on the smaller map form one matrix `[C_out, s_h s_w C_in]`, divided by the square root of
    `s_h s_w`. All of them together are the convolution in another orthonormal basis.

    Source: Sedghi et al., The Singular Values of Convolutional Layers, ICLR 2019, section 2.

    Args:
      kernel: `[h, w, C_in / groups, C_out]`; a NumPy array gives one, with its precision.
      size: height and width of the map, multiples of the stride.
      stride: pixels from one place of the kernel to the next, along height and width.
      dilation: pixels from one weight of the kernel to the next, along height and width.
      groups: number of groups of channels, each with matrices of its own.

    Returns:
      `[H / s_h, W / s_w, groups, C_out / groups, s_h s_w C_in / groups]`, complex.

    Raises:
      ValueError: the kernel has other axes, or the stride does not divide the size.

    >>> frequency_matrices(np.ones((1, 2, 1, 1)), (1, 2)).real.ravel().tolist()  # the sum and the difference
    [2.0, 0.0]
    """
    if kernel.ndim != 4 or kernel.shape[-1] % groups:
        raise ValueError(
            f"kernel must be [h, w, C_in, C_out] with C_out a multiple of groups={groups}, found {list(kernel.shape)}"
        )
    if any(n % s for n, s in zip(size, stride, strict=True)):
        raise ValueError(f"size must be multiples of the stride {tuple(stride)}, found {tuple(size)}")
    arrays = jnp if isinstance(kernel, jax.Array) else np
    axes = zip(size, kernel.shape[:2], dilation, strict=True)
    waves = [np.exp(-2j * np.pi * np.outer(np.arange(n), d * np.arange(k)) / n) for n, k, d in axes]
    spectrum = arrays.einsum("fh,gw,hwio->fgio", *waves, kernel, optimize=True)
    rows, columns = (n // s for n, s in zip(size, stride, strict=True))
    depth, units = kernel.shape[2:]
    split = spectrum.reshape(stride[0], rows, stride[1], columns, depth, groups, units // groups)
    matrices = split.transpose(1, 3, 5, 6, 0, 2, 4).reshape(rows, columns, groups, units // groups, -1)
    return matrices / float(np.sqrt(stride[0] * stride[1]))


def singular_values(
    kernel: np.ndarray,
    size: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Computes the singular values of a convolution with circular border, the largest first, in float64.

    They are those of its `frequency_matrices` (Sedghi et al., ICLR 2019, theorem 6), so that its own matrix, whose
    sides are whole maps, is not needed. The arguments are those of `frequency_matrices`.

    Returns:
      `[n]`, as many as the smaller side of all matrices together.

    >>> singular_values(np.ones((1, 2, 1, 1)), (1, 4)).round(3).tolist()  # |1 + exp(i f)| for f = 0, ±π/2 and π
    [2.0, 1.414, 1.414, 0.0]
    """
    steps = {"stride": stride, "dilation": dilation, "groups": groups}
    values = np.linalg.svd(frequency_matrices(np.asarray(kernel, np.float64), size, **steps), compute_uv=False)
    return np.sort(values.ravel())[::-1]
