"""Convolution and cross-correlation (convolution without the flip) by their definitions, along one axis or two.

The shape of the kernel decides how the input is read:

    kernel                                            input            output
    [w], [h, w]                                       [..., W]         [..., W']        plain signals, one kernel
                                                      [..., H, W]      [..., H', W']
    [w, C / groups, K], [h, w, C / groups, K]         [..., W, C]      [..., W', K]     C channels to K
                                                      [..., H, W, C]   [..., H', W', K]

Integers become float32. The precision is always the highest, so accelerators do not round the factors. Networks use
`dispatch.convolution` instead.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from cnnlab.ops import arithmetic
from cnnlab.ops.windows import Border, Padding, Sizes, axes_of, channels_last, pad, place_windows


def cross_correlate(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    border: Border = "zeros",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """Computes a cross-correlation, the sum of products out[i] = Σ_a x[s i + d a - p] kernel[a].

    Networks call this operation convolution. It is not commutative.

    Args:
      x: `[..., W]`, `[..., H, W]`, `[..., W, C]` or `[..., H, W, C]`, depending on the kernel (see the module).
      kernel: `[w]`, `[h, w]`, `[w, C / groups, K]` or `[h, w, C / groups, K]`.
      stride: distance in pixels between neighbouring positions of the kernel, s.
      padding: "valid" (no padding), "same" (⌊(k - 1) / 2⌋ pixels before and ⌊k / 2⌋ after, which keeps the size at
        stride 1), "full" (an output for every overlap of kernel and input), or a number of pixels, p.
      border: values of the padding.
      dilation: distance in pixels between neighbouring weights of the kernel, d.
      groups: number of groups of channels; a group's outputs depend only on its own inputs.

    Returns:
      An array with the axes of `x`; `arithmetic.output_size` gives its size. It has K channels.

    Raises:
      ValueError: a shape or an option does not fit; the message names it and the values that are allowed.

    >>> cross_correlate([1, 2, 3, 4], [1, 0, -1]).tolist()
    [-2.0, -2.0]
    """
    x, kernel, restore = channels_last(x, kernel)
    arithmetic.check_groups(x.shape[-1], kernel.shape[-1], groups)
    if kernel.shape[-2] * groups != x.shape[-1]:
        reads = f"{kernel.shape[-2]} channels in each of {groups} groups"
        raise ValueError(f"a kernel {kernel.shape} reads {reads}, but x has {x.shape[-1]} channels")
    axes = x.ndim - 2
    places = place_windows(x.shape[1:-1], kernel.shape[:axes], stride=stride, padding=padding, dilation=dilation)
    letters = "HW"[-axes:]
    out = lax.conv_general_dilated(
        pad(x, places.pads, border),
        kernel,
        places.stride,
        "VALID",
        rhs_dilation=places.dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )
    return restore(out)


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    border: Border = "zeros",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """Computes a convolution: `cross_correlate` with the kernel flipped along every axis.

    The output for an impulse is the kernel. With `padding="full"` it is commutative and associative.

    Args: as in `cross_correlate`.

    >>> convolve([1, 2, 3, 4], [1, 0, -1]).tolist()
    [2.0, 2.0]
    >>> convolve([0, 1, 0], [1, 2, 3], padding="same").tolist()
    [1.0, 2.0, 3.0]
    """
    kernel = jnp.asarray(kernel)
    options = {"stride": stride, "padding": padding, "border": border, "dilation": dilation, "groups": groups}
    return cross_correlate(x, jnp.flip(kernel, range(axes_of(kernel))), **options)


def depthwise_separable(
    x: ArrayLike,
    depthwise: ArrayLike,
    pointwise: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    border: Border = "zeros",
    dilation: Sizes = 1,
) -> jax.Array:
    """Computes a cross-correlation of each channel separately, then one across the channels at each pixel.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017.

    Args:
      x: `[..., W, C]` or `[..., H, W, C]`.
      depthwise: `[w, 1, C m]` or `[h, w, 1, C m]`, with m kernels per channel.
      pointwise: `[1, C m, K]` or `[1, 1, C m, K]`.
      stride: stride of the first convolution.
      padding: padding of the first convolution.
      border: border of the first convolution.
      dilation: dilation of the first convolution.

    Returns:
      `[..., W', K]` or `[..., H', W', K]`.

    >>> depthwise_separable(jnp.ones((5, 5, 3)), jnp.ones((3, 3, 1, 6)), jnp.ones((1, 1, 6, 2))).shape
    (3, 3, 2)
    """
    x, depthwise = jnp.asarray(x), jnp.asarray(depthwise)
    options = {"stride": stride, "padding": padding, "border": border, "dilation": dilation}
    return cross_correlate(cross_correlate(x, depthwise, groups=x.shape[-1], **options), pointwise)
