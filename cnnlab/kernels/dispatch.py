"""Convolution and pooling with the fastest form for each shape and platform.

A network uses this module with `nn.Conv(..., conv_general_dilated=dispatch.convolution)`. The forms are in `forms.py`,
`unrolled.py` and `winograd.py`.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnnlab.kernels import forms, groups, unrolled, winograd
from cnnlab.runtime.compile import has_wide_vectors

_AS_DEFINED = contextvars.ContextVar("as_defined", default=False)


@contextlib.contextmanager
def as_defined() -> Iterator[None]:
    """Traces every convolution and pooling within the block as the single XLA operation that defines it.

    >>> with as_defined():
    ...     pool = functools.partial(maximum, window=(1, 2, 2, 1), strides=(1, 2, 2, 1), pads=((0, 0),) * 4)
    ...     traced = jax.make_jaxpr(pool)(jnp.zeros((1, 4, 4, 1)))
    >>> [equation.primitive.name for equation in traced.eqns]
    ['reduce_window_max']
    """
    token = _AS_DEFINED.set(True)
    try:
        yield
    finally:
        _AS_DEFINED.reset(token)


@contextlib.contextmanager
def exact_forms() -> Iterator[None]:
    """Computes every convolution and pooling within the block by its definition, also in programs compiled before.

    Use it where rounding matters: Winograd's form rounds more than the direct one. The block drops all compiled
    programs of JAX at its beginning and at its end, so that each of them is compiled again.

    >>> with exact_forms():
    ...     layout = ("NHWC", "HWIO", "NHWC")
    ...     out = convolution(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)), (1, 1), "VALID", dimension_numbers=layout)
    >>> float(out[0, 0, 0, 0])
    9.0
    """
    jax.clear_caches()
    try:
        with as_defined():
            yield
    finally:
        jax.clear_caches()


def convolution(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers=None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision=None,
    preferred_element_type=None,
) -> jax.Array:
    """Computes `lax.conv_general_dilated` with the fastest form for the static shape and the platform.

    The fast forms apply to images `[B, H, W, C]` and kernels `[h, w, C, K]`, without a dilation of the images and
    without a precision. All other convolutions are computed directly.

    Args:
      lhs: images, in the layout that `dimension_numbers` describes.
      rhs: kernel, in the layout that `dimension_numbers` describes.

    The other arguments are those of `lax.conv_general_dilated`.

    Returns:
      The array that `lax.conv_general_dilated` returns, except for float32 rounding.

    Raises:
      ValueError: the kernel is larger than its padded input.
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
        )

    usual = (
        lhs.ndim == 4
        and _is_channels_last(dimension_numbers, lhs, rhs)
        and all(n == 1 for n in lhs_dilation or ())
        and batch_group_count == 1
        and precision is None
        and preferred_element_type in (None, lhs.dtype)
    )
    if not usual:
        return direct(lhs, rhs)
    strides, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
    extent = [(k - 1) * d + 1 for k, d in zip(rhs.shape[:2], dilation, strict=True)]
    pads = padding
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(lhs.shape[1:3], extent, strides, padding)
    for kernel, size, pad in zip(extent, lhs.shape[1:3], pads, strict=True):
        if kernel > size + sum(pad):
            raise ValueError(f"a kernel of {kernel} pixels is larger than its padded input of {size + sum(pad)}")
    if _AS_DEFINED.get() or min(map(min, pads)) < 0:
        return direct(lhs, rhs)
    fast = _depthwise(lhs, rhs, strides, pads, dilation) if feature_group_count > 1 else None
    if feature_group_count == 1 and dilation == (1, 1):
        rules = (_pointwise, _narrow, _few_channels, _strided, _deep)
        fast = next(filter(None, (rule(lhs, rhs, strides, pads) for rule in rules)), None)
    fast = fast or forms.with_gradients(direct, direct, forms.apart(direct))
    return lax.platform_dependent(lhs, rhs, cpu=fast, default=direct)


# Each rule returns a form for the shapes where it is faster than the direct convolution, and None for other shapes. The
# measurements are in docs/performance.json.


def _pointwise(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Returns the form for a 1x1 convolution: a single matrix product, which reads every pixel once."""
    if kernel.shape[:2] != (1, 1) or any(sum(pad) for pad in pads):
        return None
    return functools.partial(forms.pointwise, strides=strides)


def _narrow(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Returns the form for a small kernel: a sum written out weight by weight.

    It keeps all weights in registers if vectors have 16 floats.
    """
    h, w, c, k = kernel.shape
    fits = h * w * c <= unrolled.WEIGHTS and k % unrolled.LANES == 0 and k <= 64
    if not fits or not has_wide_vectors() or x.dtype != jnp.float32:
        return None
    direct = forms.apart(functools.partial(forms.direct, strides=strides, pads=pads))
    other = _few_channels(x, kernel, strides, pads) or _strided(x, kernel, strides, pads) or direct
    return forms.with_gradients(functools.partial(unrolled.convolution, strides=strides, pads=pads), other, other)


def _strided(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Returns the form for a strided convolution, which computes the image gradient by phases.

    The direct gradient multiplies the zeros that strides put between the pixels; the phases contain no such zeros.
    """
    if strides == (1, 1) or any(s > k for s, k in zip(strides, kernel.shape[:2], strict=True)):
        return None
    direct, phases = (functools.partial(form, strides=strides, pads=pads) for form in (forms.direct, forms.phases))
    return forms.with_gradients(direct, phases, forms.apart(direct))


def _deep(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Returns the form for a 3x3 kernel with many channels: Winograd's, applied to a group of images at a time.

    The tiles of a group must fit into the cache. There must be enough tiles to outweigh the cost of transforming the
    kernel, and enough channels to outweigh the cost of transforming the tiles.
    """
    (*batch, height, width, c), k = x.shape, kernel.shape[-1]
    if kernel.shape[:2] != (3, 3) or strides != (1, 1) or max(map(max, pads)) > 2 or x.dtype != jnp.float32:
        return None
    rows, columns = (n + sum(pad) - 2 for n, pad in zip((height, width), pads, strict=True))
    images = batch[0] if isinstance(batch[0], int) else 1
    tiles = -(-rows // 4) * -(-columns // 4)
    megabytes = 36 * tiles * max(c, k) * 4e-6  # size of an image's tiles
    if min(c, k) < 64 or images * tiles < max(c, k) / 4 or megabytes > 10:
        return None
    divisors = [n for n in range(1, images + 1) if images % n == 0 and n * tiles >= max(c, k) / 4]
    group = max((n for n in divisors if n * megabytes <= 5.4), default=divisors[0])
    pads = tuple(map(tuple, pads))
    if group == images:
        return _tiled(pads, None)
    # Several devices split the batch, so it cannot be split into groups too.
    return _tiled(pads, group) if jax.device_count() == 1 else None


@functools.cache  # the same function for all layers, so that JAX traces it once for each shape
def _tiled(pads: forms.Pads, group: int | None) -> forms.Form:
    """Returns Winograd's form, applied to a group of images at a time; None for the whole batch."""
    tiled = (winograd.convolution, winograd.for_image, winograd.for_kernel)
    tiled = [functools.partial(form, pads=pads) for form in tiled]
    if group is not None:
        tiled = [groups.by_groups(form, group) for form in tiled]
    value, image_gradient, kernel_gradient = tiled
    return jax.jit(forms.with_gradients(forms.when_ready(value), image_gradient, forms.apart(kernel_gradient)))


def _depthwise(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads, dilation: tuple[int, int]
) -> forms.Form | None:
    """Returns the form for a depthwise convolution: a sum of shifted images. XLA has no special kernel for it."""
    if x.shape[-1] != kernel.shape[-1] or kernel.shape[2] != 1 or math.prod(kernel.shape[:2]) > 49:
        return None
    options = {"strides": strides, "pads": pads, "dilation": dilation}
    shifted = functools.partial(forms.shifted_products, **options)
    image_gradient = functools.partial(forms.spread_shifts, pads=pads, dilation=dilation)
    if strides != (1, 1):
        image_gradient = functools.partial(shifted, stacked=True)
    return forms.with_gradients(shifted, image_gradient, functools.partial(unrolled.depthwise_for_kernel, **options))


def _few_channels(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Returns the form for few input channels, which computes a row by blocks; their length is in `_TOEPLITZ`."""
    block = _toeplitz_block(x.shape, kernel.shape, pads) if strides == (1, 1) else None
    return block and functools.partial(forms.blocked_toeplitz, pads=pads, block=block)


class _Rule(NamedTuple):
    channels: int  # largest number of input channels
    megabytes: float  # largest size of the matrix of windows
    block: int  # number of outputs of a row that a product computes


_TOEPLITZ = (
    # Up to 3 channels: faster for the kernel gradient.
    _Rule(channels=3, megabytes=float("inf"), block=4),
    # Up to 8 channels: faster for both gradients as long as the matrix of windows is small.
    _Rule(channels=8, megabytes=6, block=2),
)


def _toeplitz_block(image: Sequence[int], kernel: Sequence[int], pads: Sequence[tuple[int, int]]) -> int | None:
    """Returns the length of a block for a kernel with few input channels; None if the direct convolution is faster."""
    b, height, width, channels = image
    b = b if isinstance(b, int) else 1  # in an export the batch size is unknown
    h, w = kernel[:2]
    rows, columns = height + sum(pads[0]) - h + 1, width + sum(pads[1]) - w + 1
    for rule in _TOEPLITZ:
        windows = b * rows * (columns / rule.block) * h * (w + rule.block - 1) * channels * 4e-6
        if channels <= rule.channels and windows <= rule.megabytes:
            return rule.block
    return None


def _is_channels_last(dimension_numbers, lhs: jax.Array, rhs: jax.Array) -> bool:
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    return numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, ("NHWC", "HWIO", "NHWC"))


def transposed_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `lax.conv_transpose` with the kernel's size as stride: each pixel produces h x w pixels of the output.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.

    Returns:
      `[B, h H, w W, K]`.
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_transpose(x, kernel, kernel.shape[:2], "VALID")

    if _AS_DEFINED.get():
        return direct(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=forms.spread_products, default=direct)


def maximum(x: jax.Array, window: Sequence[int], strides: Sequence[int], pads: forms.Pads) -> jax.Array:
    """Computes the maximum over each window, like `lax.reduce_window` with padding of -inf.

    If several entries of a window equal the maximum, the first one in row order gets the whole gradient. This holds
    for all forms and devices.

    Args:
      x: array with any number of axes.
      window: size of the window for each axis.
      strides: distance between neighbouring windows for each axis.
      pads: numbers of entries `(before, after)` that are added to each axis.
    """

    def direct(x: jax.Array) -> jax.Array:
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)

    if _AS_DEFINED.get() or math.prod(window) > 9:
        return direct(x)
    if tuple(window) == tuple(strides) == (1, 2, 2, 1) and not any(map(any, pads)):
        return _halved(x)
    shifted = functools.partial(forms.shifted_maximum, window=window, strides=strides, pads=pads)
    return lax.platform_dependent(x, cpu=jax.checkpoint(shifted), default=direct)


def _halved(x: jax.Array) -> jax.Array:
    """Computes the maximum over 2x2 windows that do not overlap: over pairs of columns, then over pairs of rows.

    This order chooses the first of equal maxima in row order.
    """
    b, height, width, c = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = _larger(x.reshape(b, height // 2 * 2, width // 2, 2, c), 3)
    return _larger(x.reshape(b, height // 2, 2, width // 2, c), 2)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _larger(x: jax.Array, axis: int) -> jax.Array:
    """Computes the maximum over an axis of two entries; with enough channels as the maximum of two arrays."""
    if x.shape[-1] < 8:
        return x.max(axis)
    return jnp.maximum(*(lax.index_in_dim(x, i, axis, keepdims=False) for i in range(2)))


@_larger.defjvp
def _(axis: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    other, first = lax.rev(x, (axis,)), lax.broadcasted_iota(jnp.int32, x.shape, axis) == 0
    chosen = (x > other) | ((x == other) & first)
    return _larger(x, axis), (tangent * chosen.astype(x.dtype)).sum(axis)
