"""Convolution as it is defined, along one axis or two; cross-correlation, which is it without the flip.

The kernel's shape says which is meant:

    kernel                                            input            output
    [w], [h, w]                                       [..., W]         [..., W']        plain signals, one kernel
                                                      [..., H, W]      [..., H', W']
    [w, C / groups, K], [h, w, C / groups, K]         [..., W, C]      [..., W', K]     C channels to K
                                                      [..., H, W, C]   [..., H', W', K]

Integers are read as float32, and no accelerator rounds the products. Networks use `lowering.convolution`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from cnnlab.ops import arithmetic
from cnnlab.ops.arithmetic import Pads

Sizes = int | Sequence[int]
"""A number for all axes, or one an axis."""

Padding = Literal["valid", "same", "full"] | int | Sequence[int | Pads]
"""For all axes by name or number, or for each a number or (before, after)."""

Border = Literal["zeros", "edge", "reflect", "circular"]
"""What the padding holds: zeros, the nearest pixel, the mirror image without the border pixel, the opposite side."""

_MODES = {"zeros": "constant", "edge": "edge", "reflect": "reflect", "circular": "wrap"}


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
    places = windows(x.shape[1:-1], kernel.shape[:axes], stride=stride, padding=padding, dilation=dilation)
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
    """Convolution proper: `cross_correlate` with the kernel turned by 180°, so that an impulse answers with the kernel.

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
    """Cross-correlation in space, every channel by itself, then one across the channels at every pixel.

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017.

    Args:
      x: `[..., W, C]` or `[..., H, W, C]`.
      depthwise: `[w, 1, C m]` or `[h, w, 1, C m]`, m kernels a channel.
      pointwise: `[1, C m, K]` or `[1, 1, C m, K]`.
      stride: of the first.
      padding: of the first.
      border: of the first.
      dilation: of the first.

    Returns:
      `[..., W', K]` or `[..., H', W', K]`.

    >>> depthwise_separable(jnp.ones((5, 5, 3)), jnp.ones((3, 3, 1, 6)), jnp.ones((1, 1, 6, 2))).shape
    (3, 3, 2)
    """
    x, depthwise = jnp.asarray(x), jnp.asarray(depthwise)
    options = {"stride": stride, "padding": padding, "border": border, "dilation": dilation}
    return cross_correlate(cross_correlate(x, depthwise, groups=x.shape[-1], **options), pointwise)


class Windows(NamedTuple):
    """The places of a window: how many along every axis, and the options for every axis."""

    size: tuple[int, ...]
    pads: tuple[Pads, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]


def windows(
    size: Sequence[int], window: Sequence[int], *, stride: Sizes = 1, padding: Padding = "valid", dilation: Sizes = 1
) -> Windows:
    """Where a window lies on an input, with the options checked; these are as in `cross_correlate`.

    Args:
      size: of the input in pixels.
      window: its sides in pixels.

    >>> windows((5, 4), (2, 2), padding=1, stride=2).size
    (3, 3)
    """
    axes = len(window)
    stride, dilation = per_axis("stride", stride, axes), per_axis("dilation", dilation, axes)
    each = zip(window, per_axis("padding", padding, axes), dilation, strict=True)
    pads = tuple(arithmetic.axis_padding(k, p, dilation=d) for k, p, d in each)
    each = zip(size, window, stride, pads, dilation, strict=True)
    out = tuple(arithmetic.output_size(n, k, stride=s, padding=p, dilation=d) for n, k, s, p, d in each)
    return Windows(out, pads, stride, dilation)


def window_axes(x: jax.Array, window: Sequence[int]) -> int:
    """How many axes the window moves along."""
    if not isinstance(window, Sequence) or len(window) not in (1, 2) or x.ndim <= len(window):
        raise ValueError(
            f"window must be (w,) for x [..., W, C] or (h, w) for [..., H, W, C], found {window} for {x.shape}"
        )
    return len(window)


def per_axis(name: str, value, axes: int) -> tuple:
    """One value an axis."""
    single = isinstance(value, str) or not isinstance(value, Iterable)
    values = (value,) * axes if single else tuple(value)
    if len(values) != axes:
        raise ValueError(f"{name} must be given once or for each of {axes} axes, found {value!r}")
    return values


def pad(x: jax.Array, pads: Sequence[Pads], border: Border = "zeros") -> jax.Array:
    """`[B, ..., C]` with more pixels around the axes between."""
    if border not in _MODES:
        raise ValueError(f"border must be one of {', '.join(map(repr, _MODES))}, found {border!r}")
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=_MODES[border])


def floating(*arrays: ArrayLike) -> list[jax.Array]:
    """The arrays in their common floating type; integers become float32."""
    arrays = [jnp.asarray(array) for array in arrays]
    kind = jnp.result_type(*arrays)
    return [array.astype(kind if jnp.issubdtype(kind, jnp.inexact) else jnp.float32) for array in arrays]


def axes_of(kernel: jax.Array) -> int:
    """How many axes the kernel moves along."""
    if not 1 <= kernel.ndim <= 4:
        raise ValueError(f"kernel must be [w], [h, w], [w, C, K] or [h, w, C, K], found the shape {kernel.shape}")
    return kernel.ndim - 2 if kernel.ndim > 2 else kernel.ndim


def channels_last(x: ArrayLike, kernel: ArrayLike) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], jax.Array]]:
    """Input `[B, ..., C]` and kernel `[..., C, K]` of any that go together, and what leads their result back."""
    x, kernel = floating(x, kernel)
    axes = axes_of(kernel)
    plain = kernel.ndim == axes
    if x.ndim < kernel.ndim - (not plain):
        raise ValueError(
            f"x must have {kernel.ndim - (not plain)} axes or more for a kernel {kernel.shape}, found {x.shape}"
        )
    if plain:
        x, kernel = x[..., None], kernel[..., None, None]
    lead = x.shape[: -axes - 1]

    def restore(out: jax.Array) -> jax.Array:
        out = out.reshape(*lead, *out.shape[1:])
        return out[..., 0] if plain else out

    return x.reshape(math.prod(lead), *x.shape[-axes - 1 :]), kernel, restore
