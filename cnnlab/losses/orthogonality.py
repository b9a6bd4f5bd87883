"""The loss of orthogonal convolutional networks: how far a convolution is from an orthogonal map."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax


def orthogonality(
    kernel: jax.Array, *, stride: Sequence[int] = (1, 1), dilation: Sequence[int] = (1, 1), groups: int = 1
) -> jax.Array:
    """Computes `sum((conv(K, K) - I)²)`: the squared distance of a convolution from one with orthonormal rows.

    The rows of a convolution's matrix are its kernels at all places. `conv(K, K)` holds the inner products of each
    kernel with every kernel at each shift by a multiple of the stride. It is the convolution of the kernels with
    themselves, with `(k - 1) // s * s` zeros on each side for k rows or columns and the stride s. I is 1 for a kernel
    with itself at shift 0, and 0 elsewhere.

    At stride 1 the columns give the same loss up to the constant C_out - C_in, and hence the same gradient. More
    kernels than inputs can't be orthonormal: the loss is then at least C_out - C_in. Dilation by d and stride s have
    the inner products of the stride `s / gcd(s, d)` without dilation.

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
    if kernel.ndim not in (2, 4) or kernel.shape[-1] % groups:
        raise ValueError(
            f"kernel must be [h, w, C_in, C_out] or [C_in, C_out] with C_out a multiple of groups={groups}, "
            f"found {list(kernel.shape)}"
        )
    if kernel.ndim == 2:
        kernel = kernel[None, None]
    height, width, depth, units = kernel.shape
    members = units // groups
    images = kernel.reshape(height, width, depth, groups, members).transpose(4, 0, 1, 3, 2)
    shifts = [s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
    reach = [(k - 1) // s for k, s in zip((height, width), shifts, strict=True)]
    product = lax.conv_general_dilated(
        images.reshape(members, height, width, groups * depth),
        kernel,
        shifts,
        [(r * s, r * s) for r, s in zip(reach, shifts, strict=True)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    identity = jnp.tile(jnp.eye(members, dtype=kernel.dtype), groups)
    return jnp.square(product.at[:, reach[0], reach[1]].add(-identity)).sum()
