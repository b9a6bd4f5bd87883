"""Convolution and pooling in the form that runs fastest: one function each, and the table that chooses.

Networks take it by `nn.Conv(..., conv_general_dilated=dispatch.convolution)`. The forms are in `forms.py`,
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

from cnnlab.kernels import forms, unrolled, winograd
from cnnlab.runtime.compile import has_wide_vectors

_AS_DEFINED = contextvars.ContextVar("as_defined", default=False)


@contextlib.contextmanager
def as_defined() -> Iterator[None]:
    """Traces every convolution and pooling within the block as the one operation of its definition.

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

    Winograd's form rounds 5 to 9 times as much as the direct one. JAX's compiled programs are dropped at both ends of
    the block, so each is compiled again.

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
    """Computes `lax.conv_general_dilated` by the fastest form for the static shape and the platform.

    Args:
      lhs: images, `[B, H, W, C]` where `dimension_numbers` say so.
      rhs: kernel, `[h, w, C, K]`.

    Returns:
      The same array as `lax.conv_general_dilated`, to float32 rounding.
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


# The table: each rule gives a form for the shapes where it is faster, or None. Milliseconds, two cores, jaxlib 0.10.2,
# forward / gradient of the image / gradient of the kernel.


def _pointwise(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """32x64x64x32 to 64: direct 13 / 3 / 23, one product 13 / 3 / 7; 128x32x32x64 to 128, stride 2: 4 / 28 / 28, 4 / 12
    / 6."""
    if kernel.shape[:2] != (1, 1) or any(sum(pad) for pad in pads):
        return None
    return functools.partial(forms.pointwise, strides=strides)


def _narrow(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Forward, 3x3, direct or in blocks (see `_TOEPLITZ`), and written out with vectors of 16: 4x256x256x3 to 16: 2.4,
    .8; 32x100x100x3 to 32: 6.4, 4.4; 128x28x28x1 to 32: .8, .4; 128x32x32x3 to 64: 4.6, 3.3; stride 2, 32x64x64x3 to
    32: 1.0, .5. With vectors of 8 it would be the slower one."""
    h, w, c, k = kernel.shape
    fits = h * w * c <= unrolled.WEIGHTS and k % unrolled.LANES == 0 and k <= 64
    if not fits or not has_wide_vectors() or x.dtype != jnp.float32:
        return None
    direct = forms.apart(functools.partial(forms.direct, strides=strides, pads=pads))
    other = _few_channels(x, kernel, strides, pads) or _strided(x, kernel, strides, pads) or direct
    return forms.with_gradients(functools.partial(unrolled.convolution, strides=strides, pads=pads), other, other)


def _strided(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """Gradient of the image, 3x3, stride 2, direct and by phases: 128x32x32x64 to 128: 97, 51; 128x16x16x128 to 256:
    49, 30; 32x64x64x32 to 64: 34, 9; 8x56x56x64 to 128: 6.9, 5.8. The other two are faster direct."""
    if strides == (1, 1) or any(s > k for s, k in zip(strides, kernel.shape[:2], strict=True)):
        return None
    direct, phases = (functools.partial(form, strides=strides, pads=pads) for form in (forms.direct, forms.phases))
    return forms.with_gradients(direct, phases, forms.apart(direct))


def _deep(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """3x3, direct and Winograd by groups of images (AVX-512): 128x32x32x64 to 64: 38 / 37 / 75, 25 / 25 / 38;
    128x16x16x128 to 128: 34 / 33 / 45, 12 / 14 / 19; 128x8x8x256 to 256: 33 / 34 / 34, 13 / 13 / 17; 128x4x4x512 to
    512: 29 / 35 / 30, 16 / 23 / 16; 4x128x128x64 to 32: 11 / 8.6 / 25, 10 / 9.4 / 19; 4x64x64x64 to 64: 5.0 / 4.7 /
    9.4, 5.4 / 3.0 / 6.2; 8x56x56x64 to 192: 16 / 25 / 19, 10 / 19 / 12; 8x28x28x96 to 128: 4.7 / 4.5 / 5.2, 3.1 / 2.9 /
    3.2. A group's tiles must stay in the cache: 128x16x16x128 to 128 by 32 images takes 22 forward; 4x256x256x64 to 64,
    one by one: 77 / 74 / 104, 74 / 71 / 122. They must be many enough for a kernel to be worth its transform: 8x7x7x512
    to 512: 5.8 / 11 / 6.6, 10 / 13 / 7.6; and deep enough for their own: 16x64x64x32 to 32: 5.1 / 5.6 / 9.5, 8.6 / 6.5
    / 9.6."""
    (*batch, height, width, c), k = x.shape, kernel.shape[-1]
    if kernel.shape[:2] != (3, 3) or strides != (1, 1) or max(map(max, pads)) > 2 or x.dtype != jnp.float32:
        return None
    rows, columns = (n + sum(pad) - 2 for n, pad in zip((height, width), pads, strict=True))
    images = batch[0] if isinstance(batch[0], int) else 1
    tiles = -(-rows // 4) * -(-columns // 4)
    megabytes = 36 * tiles * max(c, k) * 4e-6  # an image's tiles
    if min(c, k) < 64 or images * tiles < max(c, k) / 4 or megabytes > 10:
        return None
    divisors = [n for n in range(1, images + 1) if images % n == 0 and n * tiles >= max(c, k) / 4]
    group = max((n for n in divisors if n * megabytes <= 5.4), default=divisors[0])
    tiled = (winograd.convolution, winograd.for_image, winograd.for_kernel)
    tiled = [functools.partial(form, pads=pads) for form in tiled]
    if group < images:
        if jax.device_count() > 1:  # the batch is split over them, not into groups
            return None
        tiled = [forms.by_groups(form, group) for form in tiled]
    value, of_image, of_kernel = tiled
    return forms.with_gradients(value, of_image, forms.apart(of_kernel))


def _depthwise(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads, dilation: tuple[int, int]
) -> forms.Form | None:
    """Direct, and shifted / spread, or with strides stacked / by blocks: 3x3, 32x64x64x32: 96 / 94 / 21, 1.8 / 1.9 /
    4.2; 5x5, 32x28x28x64: 74 / 67 / 18, 2.1 / 1.1 / 4.0, stride 2: 23 / 111 / 6, .6 / 3.1 / 1.0; 7x7, 8x56x56x96: 202 /
    180 / 62, 2.5 / 2.9 / 3.8; 7x7, 32x14x14x384: 229 / 218 / 259, 5.1 / 5.2 / 6.7."""
    if x.shape[-1] != kernel.shape[-1] or kernel.shape[2] != 1 or math.prod(kernel.shape[:2]) > 49:
        return None
    options = {"strides": strides, "pads": pads, "dilation": dilation}
    shifted = functools.partial(forms.shifted_products, **options)
    of_image = functools.partial(forms.spread_shifts, pads=pads, dilation=dilation)
    if strides != (1, 1):
        of_image = functools.partial(shifted, stacked=True)
    return forms.with_gradients(shifted, of_image, functools.partial(unrolled.depthwise_for_kernel, **options))


def _few_channels(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: forms.Pads) -> forms.Form | None:
    """See `_TOEPLITZ`."""
    block = _toeplitz_block(x.shape, kernel.shape, pads) if strides == (1, 1) else None
    return block and functools.partial(forms.blocked_toeplitz, pads=pads, block=block)


class _Rule(NamedTuple):
    channels: int  # holds up to so many input channels
    megabytes: float  # and up to this size of the matrix of windows
    block: int  # outputs of a row computed by one product


_TOEPLITZ = (
    # Milliseconds, two cores, jaxlib 0.10.2, direct / im2col / blocks of 2 / 4 / 7. Gradient of the kernel:
    # 128x28x28x1 to 6, 5x5: 6.8 / 6.3 / 3.9 / 2.0 / 2.5; 32x100x100x3 to 32, 3x3: 42 / 36 / 34 / 33 / 54;
    # 4x256x256x3 to 16, 3x3: 12.4 / 24.7 / 12.1 / 8.5 / 25.
    _Rule(channels=3, megabytes=float("inf"), block=4),
    # Both gradients: 128x14x14x6 to 16, 5x5: 5.6 / 3.6 / 2.1 / - / 2.4; 32x32x32x6 to 16, 3x3: 4.4 / 2.3 / 2.7 / 2.7 /
    # 3.5; but 4x256x256x8 to 16, 3x3, 50 MB of windows: 47 / 83 / 132 / 91 / 80.
    _Rule(channels=8, megabytes=6, block=2),
)


def _toeplitz_block(image: Sequence[int], kernel: Sequence[int], pads: Sequence[tuple[int, int]]) -> int | None:
    """Returns the block for a kernel of few input channels; None if the direct convolution is faster."""
    b, height, width, channels = image
    b = b if isinstance(b, int) else 1  # an export leaves the batch free
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
    """Computes `lax.conv_transpose` with the kernel's size as its stride: every pixel becomes h x w pixels of its own.

    Milliseconds, two cores, jaxlib 0.10.2, forward / gradient of the image / of the kernel, direct and as one product:
    4x128x128x32 to 16: 5.3 / 2.4 / 85, 2.5 / 5.6 / 8.8; 4x16x16x256 to 128: 1.6 / 1.5 / 92, 1.5 / 2.0 / 2.0.

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
    """Computes `lax.reduce_window` by the maximum, padded with -inf.

    Milliseconds, two cores, jaxlib 0.10.2, forward / with gradient, direct and shifted: 8x28x28x192, 3x3: 8.8 / 67, 2.2
    / 6.6; 8x112x112x64, stride 2: 15 / 137, 12 / 22; 8x56x56x192, stride 2: 10 / 118, 7.3 / 16.

    Of equal maxima in a window the first one, row by row, takes the whole gradient, in every form and on every device.

    Args:
      x: of any number of axes.
      window: one number an axis.
      strides: one number per axis.
      pads: `(before, after)` per axis.
    """

    def direct(x: jax.Array) -> jax.Array:
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)

    if _AS_DEFINED.get() or math.prod(window) > 9:
        return direct(x)
    if tuple(window) == tuple(strides) == (1, 2, 2, 1) and not any(map(any, pads)):
        return _halved(x)
    shifted = functools.partial(forms.shifted_maximum, window=window, strides=strides, pads=pads)
    return lax.platform_dependent(x, cpu=shifted, default=direct)


def _halved(x: jax.Array) -> jax.Array:
    """Takes the maximum over 2x2 windows that do not overlap: over pairs of columns, then over pairs of rows.

    In this order the first of equal maxima, row by row, is chosen.
    """
    b, height, width, c = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = _larger(x.reshape(b, height // 2 * 2, width // 2, 2, c), 3)
    return _larger(x.reshape(b, height // 2, 2, width // 2, c), 2)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _larger(x: jax.Array, axis: int) -> jax.Array:
    """Computes the maximum over an axis of two entries; with enough channels as the maximum of two halves.

    Milliseconds, two cores, jaxlib 0.10.2, a pooling, `max` and halves: 128x24x24x64: 1.9, .6; 32x98x98x32: 4.3, 2.0;
    4x256x256x16: 1.5, .6; 128x28x28x6: .2, .3.
    """
    if x.shape[-1] < 8:
        return x.max(axis)
    return jnp.maximum(*(lax.index_in_dim(x, i, axis, keepdims=False) for i in range(2)))


@_larger.defjvp
def _(axis: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    other, first = lax.rev(x, (axis,)), lax.broadcasted_iota(jnp.int32, x.shape, axis) == 0
    chosen = (x > other) | ((x == other) & first)
    return _larger(x, axis), (tangent * chosen.astype(x.dtype)).sum(axis)
