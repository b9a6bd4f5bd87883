"""Convolution and cross-correlation (convolution without the flip) by their definition, along one axis or two.

The kernel's shape says which is meant:

    kernel                                            input            output
    [w], [h, w]                                       [..., W]         [..., W']        plain signals, one kernel
                                                      [..., H, W]      [..., H', W']
    [w, C / groups, K], [h, w, C / groups, K]         [..., W, C]      [..., W', K]     C channels to K
                                                      [..., H, W, C]   [..., H', W', K]

Integers are read as float32, and no accelerator rounds the products. Networks use `dispatch.convolution`.
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
    """Sums of products with the kernel laid over every place of the input: out[i] = Σ_a x[s i + d a - p] kernel[a].

    What networks call convolution. It does not commute.

    Args:
      x: `[..., W]`, `[..., H, W]`, `[..., W, C]` or `[..., H, W, C]`, as the kernel says (see the module).
      kernel: `[w]`, `[h, w]`, `[w, C / groups, K]` or `[h, w, C / groups, K]`.
      stride: pixels from one place to the next, s.
      padding: "valid" (none), "same" (⌊(k - 1) / 2⌋ before and ⌊k / 2⌋ after, which keeps the size at stride 1),
        "full" (every overlap), or pixels, p.
      border: what the padding holds.
      dilation: pixels from one of the kernel's weights to the next, d.
      groups: parts of the channels that do not see each other.

    Returns:
      The same axes as `x`: sizes by `arithmetic.output_size`, K channels.

    Raises:
      ValueError: shapes or options that do not fit, named with what is allowed.

    >>> cross_correlate([1, 2, 3, 4], [1, 0, -1]).tolist()
    [-2.0, -2.0]
    """
    x, kernel, restore = channels_last(x, kernel)
    arithmetic.check_groups(x.shape[-1], kernel.shape[-1], groups)
    if kernel.shape[-2] * groups != x.shape[-1]:
        reads = f"{kernel.shape[-2]} channels in each of {groups} groups"
        raise ValueError(f"a kernel {kernel.shape} reads {reads}, x has {x.shape[-1]} channels")
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
    """Computes a convolution: `cross_correlate` with the kernel turned by 180°, so that an impulse gives the kernel.

    With `padding="full"` it commutes and is associative.

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
    """Computes a cross-correlation of every channel by itself, then one across the channels at every pixel.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017.

    Args:
      x: `[..., W, C]` or `[..., H, W, C]`.
      depthwise: `[w, 1, C m]` or `[h, w, 1, C m]`, m kernels a channel.
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
