"""The loss of orthogonal convolutional networks: how far a convolution is from an orthogonal map."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.ops.spectrum import frequency_matrices


def orthogonality(
    kernel: jax.Array, *, stride: Sequence[int] = (1, 1), dilation: Sequence[int] = (1, 1), groups: int = 1
) -> jax.Array:
    """Computes `sum((conv(K, K) - I)²)`: the squared distance of a convolution from one with orthonormal rows.

    The rows of a convolution's matrix are its kernels at all places. `conv(K, K)` holds the inner products of each
    kernel with every kernel at each shift by a multiple of the stride: it is the convolution of the kernels with
    themselves, with `(k - 1) // s * s` zeros on each side for k rows or columns and the stride s. I is 1 for a kernel
    with itself at shift 0, and 0 elsewhere. By Parseval's theorem the sum over shifts is a mean over frequencies, the
    mean of `sum((M M^H - I)²)` over the matrices M of `ops.frequency_matrices`, which takes fewer operations.

    At stride 1 the columns give the same loss up to the constant C_out - C_in, and hence the same gradient. More
    kernels than inputs can't be orthonormal: the loss is then at least C_out - C_in.

    Source: Wang et al., Orthogonal Convolutional Neural Networks, CVPR 2020, section 3. The authors' program pads by 1
    for every kernel and takes the square root.

    Args:
      kernel: `[h, w, C_in / groups, C_out]`, or that of a dense layer, `[C_in, C_out]`.
      stride: shift from one place of the kernel to the next, along height and width.
      dilation: pixels from one weight of the kernel to the next, along height and width.
      groups: number of groups of channels; kernels of different groups are orthogonal.

    Returns:
      The loss, 0 or more, a scalar.

    Raises:
      ValueError: the kernel has another number of axes, or `groups` does not divide its outputs.

    >>> float(orthogonality(jnp.array([[1.0, 0.0], [0.0, 2.0]])))  # products 1 and 4, where 1 is wanted
    9.0
    """
    kernel = jnp.asarray(kernel)
    kernel = kernel[None, None] if kernel.ndim == 2 else kernel
    # With dilation d, kernels meet only at shifts by multiples of d, where they meet as without dilation.
    steps = [s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
    size = [-(-(2 * k - 1) // s) * s for k, s in zip(kernel.shape[:2], steps, strict=True)]  # no shift occurs twice
    matrices = frequency_matrices(kernel, size, stride=steps, groups=groups)
    rows = len(matrices)
    matrices = matrices[: rows // 2 + 1]  # frequencies f and -f have conjugate matrices
    weight = np.where(np.arange(len(matrices)) * 2 % rows == 0, 1, 2) / (rows * matrices.shape[1])
    products = matrices @ matrices.conj().swapaxes(-1, -2) - jnp.eye(matrices.shape[-2])
    return (weight * (products.real**2 + products.imag**2).sum((1, 2, 3, 4))).sum()
