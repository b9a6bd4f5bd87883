"""Convolutions written otherwise: each form equals the direct one and is, somewhere on a CPU, several times faster.

All are plain compositions of products and sums, so they differentiate in both directions, batch and export.
`lowering.py` chooses among them.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

Pads = Sequence[tuple[int, int]]
Form = Callable[[jax.Array, jax.Array], jax.Array]
"""Image `[B, H, W, C]` and kernel `[h, w, C, K]` to `[B, H', W', K]`."""


def with_gradients(value: Form, input_gradient: Form, kernel_gradient: Form) -> Form:
    """The first form, with the gradient that the second one has by its image and the third by its kernel.

    Args:
      value: what is computed.
      input_gradient: an equal form; only its derivative by the image is used.
      kernel_gradient: an equal form; only its derivative by the kernel is used.
    """

    @jax.custom_jvp
    def form(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return value(x, kernel)

    def tangent(primals, tangents):
        (x, kernel), (dx, dkernel) = primals, tangents
        parts = []
        if not isinstance(dx, SymbolicZero):
            parts.append(input_gradient(dx, kernel))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(kernel_gradient(x, dkernel))
        y = form(x, kernel)
        return y, sum(parts) if parts else jnp.zeros_like(y)

    form.defjvp(tangent, symbolic_zeros=True)
    return form


def apart(form: Form) -> Form:
    """A form whose image and result stand in memory, for one that reads them in another order than they are made in.

    A convolution's gradient by its kernel turns the image and the result's gradient round. XLA fuses what led to them
    (batch norm, ReLU, the sum of a residual block) into that turn, which computes it anew, from places far apart.
    Barriers hold where the compiler is asked to keep them, see `compile.py`.
    """

    def kept(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.optimization_barrier(form(lax.optimization_barrier(x), kernel))

    return kept


def by_groups(form: Form, images: int) -> Form:
    """A form applied to so many images at a time, so that what it makes of them stays in the cache.

    Args:
      form: any.
      images: a divisor of the batch. What the form makes of a group is made anew for the gradients.
    """

    def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
        one = jax.checkpoint(form, prevent_cse=False)
        out = lax.map(lambda group: one(group, kernel), x.reshape(-1, images, *x.shape[1:]))
        return out.reshape(-1, *out.shape[2:])

    return grouped


def direct(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
    dilation: Sequence[int] = (1, 1),
) -> jax.Array:
    """The operation itself."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, pads, None, dilation, numbers)


def pointwise(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int]) -> jax.Array:
    """A 1x1 convolution as one matrix product over all pixels.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[1, 1, C, K]`.
      strides: of rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    x = x[:, :: strides[0], :: strides[1]]
    out = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
    return out.reshape(*x.shape[:3], kernel.shape[-1])


def blocked_toeplitz(x: jax.Array, kernel: jax.Array, *, pads: Pads, block: int) -> jax.Array:
    """Stride-1 cross-correlation as one matrix product a block of a row's outputs.

    A block of m neighbouring outputs reads h x (w + m - 1) x C inputs; its matrix is the kernel written m times, each
    copy one pixel further right (a Toeplitz band), so the product is h(w + m - 1)C by mK: wide enough for a CPU's
    matrix units where C alone is not.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      pads: zeros `(before, after)` for rows and columns.
      block: m.

    Returns:
      `[B, H', W', K]`.
    """
    h, w, c, k = kernel.shape
    rows = x.shape[1] + sum(pads[0]) - h + 1
    columns = x.shape[2] + sum(pads[1]) - w + 1
    blocks = -(-columns // block)
    span = w + block - 1
    spill = blocks * block - columns
    x = jnp.pad(x, ((0, 0), pads[0], (pads[1][0], pads[1][1] + spill), (0, 0)))
    windows = jnp.stack([x[:, :, i * block : i * block + span] for i in range(blocks)], 2)  # [B, H, blocks, span, C]
    windows = jnp.stack([windows[:, i : i + rows] for i in range(h)], 3)  # [B, H', blocks, h, span, C]
    band = jnp.stack([jnp.pad(kernel, ((0, 0), (j, block - 1 - j), (0, 0), (0, 0))) for j in range(block)], 3)
    out = windows.reshape(-1, h * span * c) @ band.reshape(h * span * c, block * k)
    return out.reshape(x.shape[0], rows, blocks * block, k)[:, :, :columns]


# F(4x4, 3x3): what turns a 6x6 tile of the image, the kernel, and the 6x6 products into a tile of 4x4 outputs.
_TILE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def winograd(x: jax.Array, kernel: jax.Array, *, pads: Pads) -> jax.Array:
    """3x3 cross-correlation, stride 1, by tiles of 4x4 outputs: 36 products each instead of 144, to about 1e-5.

    Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, F(4x4, 3x3).

    Args:
      x: `[B, H, W, C]`.
      kernel: `[3, 3, C, K]`.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    return _by_tiles(x, kernel, pads, _from_tiles)


def winograd_for_kernel(x: jax.Array, kernel: jax.Array, *, pads: Pads) -> jax.Array:
    """`winograd`, its last step written as the transpose of its first: a gradient by the kernel cuts both into tiles.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[3, 3, C, K]`.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """

    def back(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        cut = functools.partial(_to_tiles, matrix=_OUTPUT.T, tiles=(shape[1] // 4, shape[2] // 4))
        return jax.linear_transpose(cut, jax.ShapeDtypeStruct(shape, products.dtype))(products)[0]

    return _by_tiles(x, kernel, pads, back)


def winograd_transposed(x: jax.Array, kernel: jax.Array, *, pads: Pads) -> jax.Array:
    """`winograd`, written as the transpose of the one that takes its results back: a gradient by the image is that one.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[3, 3, C, K]`.
      pads: zeros `(before, after)` for rows and columns, each 2 at most.

    Returns:
      `[B, H', W', K]`.
    """
    back = functools.partial(
        winograd, kernel=kernel[::-1, ::-1].swapaxes(2, 3), pads=[(2 - low, 2 - high) for low, high in pads]
    )
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    (out,) = jax.linear_transpose(back, jax.ShapeDtypeStruct((x.shape[0], rows, columns, kernel.shape[3]), x.dtype))(x)
    return out


def _by_tiles(x: jax.Array, kernel: jax.Array, pads: Pads, back: Callable) -> jax.Array:
    """`back` takes the 36 products of all tiles, and the shape of what they make, in whole tiles."""
    c, k = kernel.shape[2:]
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    r, s = -(-rows // 4), -(-columns // 4)
    spill = (4 * r - rows, 4 * s - columns)
    x = jnp.pad(x, ((0, 0), *((low, high + more) for (low, high), more in zip(pads, spill, strict=True)), (0, 0)))
    factors = np.kron(_KERNEL, _KERNEL).astype(x.dtype) @ kernel.reshape(9, c * k)
    products = lax.dot_general(_to_tiles(x, _TILE, (r, s)), factors.reshape(36, c, k), (((2,), (1,)), ((0,), (0,))))
    return back(products, (x.shape[0], 4 * r, 4 * s, k))[:, :rows, :columns]


def _to_tiles(x: jax.Array, matrix: np.ndarray, tiles: tuple[int, int]) -> jax.Array:
    """`[36, B r s, C]`: the matrix `[6, n]` applied to rows and columns of r x s tiles of n x n, 4 pixels apart."""
    r, s = tiles
    x = _combined(matrix, [x[:, i : i + 4 * r - 3 : 4] for i in range(matrix.shape[1])], axis=0)
    x = _combined(matrix, [x[:, :, :, j : j + 4 * s - 3 : 4] for j in range(matrix.shape[1])], axis=1)
    return x.reshape(36, -1, x.shape[-1])


def _from_tiles(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """`[B, 4 r, 4 s, K]`: `_OUTPUT` applied to rows and columns of the 6x6 products of every tile."""
    b, height, width, k = shape
    x = products.reshape(6, 6, b, height // 4, width // 4, k)
    x = _combined(_OUTPUT, list(x), axis=3)  # [6, B, r, 4, s, K]
    return _combined(_OUTPUT, list(x), axis=4).reshape(shape)


def _combined(matrix: np.ndarray, parts: Sequence[jax.Array], axis: int) -> jax.Array:
    """A sum of the parts for each row of the matrix, stacked: additions alone, many of its entries being 0 or 1."""
    sums = [sum(float(a) * part for a, part in zip(row, parts, strict=True) if a) for row in matrix]
    return jnp.stack(sums, axis)


def phases(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int], pads: Pads) -> jax.Array:
    """A strided cross-correlation as a sum of unstrided ones: every s-th row and column of the image and the kernel.

    Its gradient by the image needs no zeros between the pixels, the direct one's is s² times the work.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      strides: of rows and columns, no larger than the kernel.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel.shape, strides, strict=False))
    total = 0
    for i in range(strides[0]):
        for j in range(strides[1]):
            part = kernel[i :: strides[0], j :: strides[1]]
            image = x[:, i :: strides[0], j :: strides[1]]
            image = image[:, : rows + part.shape[0] - 1, : columns + part.shape[1] - 1]
            convolve = functools.partial(pointwise, strides=(1, 1)) if part.shape[:2] == (1, 1) else direct
            total += convolve(image, part)
    return total


def shifted_products(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    stacked: bool = False,
) -> jax.Array:
    """Depthwise cross-correlation as a sum of shifted images, each times one weight a channel.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, 1, C]`.
      strides: of rows and columns.
      pads: zeros `(before, after)` for rows and columns.
      dilation: pixels from one weight to the next, for rows and columns.
      stacked: cut it so that the gradient by the image is quick, where there are strides.

    Returns:
      `[B, H', W', C]`.
    """
    shifts = _shifts(jnp.pad(x, ((0, 0), *pads, (0, 0))), kernel.shape, strides, dilation, stacked)
    return sum(image * kernel[i, j, 0] for (i, j), image in shifts)


def shifted_products_by_image(
    x: jax.Array, kernel: jax.Array, *, strides: Sequence[int], pads: Pads, dilation: Sequence[int]
) -> jax.Array:
    """`shifted_products` image after image, each weight spread over all places: its gradient by the kernel adds images
    up before it adds places up, which stays in the cache."""
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    ((_, first), *_) = _shifts(x[:1], kernel.shape, strides, dilation)
    spread = {(i, j): jnp.broadcast_to(kernel[i, j, 0], first.shape) for i, j in _taps(kernel.shape)}

    @functools.partial(jax.checkpoint, prevent_cse=False)  # shifts are cut anew rather than kept for every image
    def one(image: jax.Array, spread: dict) -> jax.Array:
        return sum(shift * spread[tap] for tap, shift in _shifts(image[None], kernel.shape, strides, dilation))

    return lax.scan(lambda _, image: (None, one(image, spread)[0]), None, x)[1]


def _taps(kernel: Sequence[int]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]


def _shifts(
    x: jax.Array, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int], stacked: bool = False
) -> list[tuple[tuple[int, int], jax.Array]]:
    """What each weight of the kernel sees of a padded image; `stacked` by `_phases`."""
    starts = [[i * d for i in range(k)] for k, d in zip(kernel[:2], dilation, strict=True)]
    if stacked:
        rows = _phases(x, 1, starts[0], strides[0])
        images = [image for row in rows for image in _phases(row, 2, starts[1], strides[1])]
    else:
        height, width = (n - last for n, (*_, last) in zip(x.shape[1:3], starts, strict=True))
        corners = itertools.product(*starts)
        images = [x[:, i : i + height : strides[0], j : j + width : strides[1]] for i, j in corners]
    return list(zip(_taps(kernel), images, strict=True))


def _phases(x: jax.Array, axis: int, starts: Sequence[int], step: int) -> list[jax.Array]:
    """From each start every step-th place of an axis, as many from each.

    The step is taken by an axis of its own: a gradient is stacked, where those of strided slices are spread among zeros
    and added up.
    """
    count = (x.shape[axis] - max(starts) - 1) // step + 1
    length = count + max(starts) // step
    x = lax.pad(x, x.dtype.type(0), [(0, (length * step - n) * (a == axis), 0) for a, n in enumerate(x.shape)])
    x = x.reshape(*x.shape[:axis], length, step, *x.shape[axis + 1 :])
    phases = [lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in range(step)]
    return [lax.slice_in_dim(phases[i % step], i // step, i // step + count, axis=axis) for i in starts]


def shifted_maximum(x: jax.Array, *, window: Sequence[int], strides: Sequence[int], pads: Pads) -> jax.Array:
    """The maximum over windows, axis after axis, each as one of shifted arrays.

    The maxima of an axis stand in memory: a gradient would make them anew.

    Args:
      x: of any number of axes.
      window: one number an axis.
      strides: likewise.
      pads: `(before, after)` of -inf, likewise.
    """
    x = jnp.pad(x, pads, constant_values=-jnp.inf)
    for axis, (size, stride) in enumerate(zip(window, strides, strict=True)):
        if size == stride == 1:
            continue
        x = lax.optimization_barrier(functools.reduce(jnp.maximum, _phases(x, axis, range(size), stride)))
    return x


def spread_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A transposed convolution whose stride is its kernel's size, as one matrix product: no two outputs overlap.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.

    Returns:
      `[B, h H, w W, K]`.
    """
    (b, height, width, c), (h, w, _, k) = x.shape, kernel.shape
    out = x.reshape(-1, c) @ kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(c, h * w * k)
    return out.reshape(b, height, width, h, w, k).transpose(0, 1, 3, 2, 4, 5).reshape(b, h * height, w * width, k)
