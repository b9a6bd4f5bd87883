"""Back-propagation through a convolution layer: both of its gradients are convolutions themselves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from cnnlab.ops.convolution import cross_correlate
from cnnlab.ops.transposed import transposed_convolution
from cnnlab.ops.windows import Padding, Sizes, channels_last, place_windows


class Gradients(NamedTuple):
    """The gradients of a loss with respect to a layer's input and its kernel."""

    x: jax.Array
    kernel: jax.Array


def backpropagate(
    x: ArrayLike,
    kernel: ArrayLike,
    error: ArrayLike,
    *,
    stride: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    weight_decay: float = 0.0,
) -> Gradients:
    """Computes the gradients of the loss with respect to the input and the kernel of `cross_correlate(x, kernel, ...)`.

    The gradient of the kernel is the cross-correlation of input and error, summed over the examples, plus the kernel
    times the weight decay. The gradient of the input is the full convolution of the error with the kernel; without
    channels, strides and padding it is `convolve(error, kernel, padding="full")`. Strides insert zeros between the
    pixels of the error, and the padding is cut off the result.

    Args:
      x: input `[..., W]`, `[..., H, W]`, `[..., W, C]` or `[..., H, W, C]`.
      kernel: `[w]`, `[h, w]`, `[w, C, K]` or `[h, w, C, K]`.
      error: gradient of the loss with respect to the output, with the shape of the output.
      stride, padding, dilation: options of the layer.
      weight_decay: weight λ of a penalty λ / 2 · |kernel|² that is added to the loss.

    Raises:
      ValueError: a shape or an option does not fit; the message names it and the values that are allowed.

    >>> backpropagate([1, 2, 4], [1, 10], [1, 1]).x.tolist()
    [1.0, 11.0, 10.0]
    >>> backpropagate([1, 2, 4], [1, 10], [1, 1], weight_decay=0.5).kernel.tolist()
    [3.5, 11.0]
    """
    shape = np.shape(kernel)
    error, _, _ = channels_last(error, kernel)
    x, kernel, restore = channels_last(x, kernel)
    if x.shape[-1] != kernel.shape[-2]:
        raise ValueError(f"a kernel {kernel.shape} reads {kernel.shape[-2]} channels, but x has {x.shape[-1]}")
    places = place_windows(x.shape[1:-1], kernel.shape[:-2], stride=stride, padding=padding, dilation=dilation)
    output = (x.shape[0], *places.size, kernel.shape[-1])
    if error.shape != output:
        raise ValueError(f"error must have the output's shape, [B, ..., K] = {output}, found {error.shape}")

    # Channels and examples swap their roles in this cross-correlation: each channel is an example, and its sum over
    # channels is the sum over examples. Stride and dilation swap, too. Rows that the strides do not reach produce
    # weights beyond the kernel, which are cut off.
    by_channel, by_example = jnp.swapaxes(x, 0, -1), jnp.moveaxis(error, 0, -2)
    sums = cross_correlate(by_channel, by_example, stride=places.dilation, padding=places.pads, dilation=places.stride)
    sums = sums[(slice(None), *(slice(side) for side in kernel.shape[:-2]))]
    kernel_gradient = jnp.moveaxis(sums, 0, -2) + weight_decay * kernel

    options = {"stride": places.stride, "padding": places.pads, "dilation": places.dilation}
    spans = zip(x.shape[1:-1], kernel.shape[:-2], places.pads, places.dilation, places.stride, strict=True)
    extra = [(n + sum(p) - d * (k - 1) - 1) % s for n, k, p, d, s in spans]
    x_gradient = transposed_convolution(error, kernel, **options, extra=extra, way="zeros")
    return Gradients(restore(x_gradient), kernel_gradient.reshape(shape))
