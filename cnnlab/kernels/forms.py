"""Forms of convolution: other ways to compute it, which are faster for some shapes on a CPU.

A form returns the same result as the direct convolution. All forms consist of products and sums, so JAX can
differentiate them in both modes, batch them and export them. `dispatch.py` chooses among them.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

Pads = Sequence[tuple[int, int]]
Form = Callable[[jax.Array, jax.Array], jax.Array]
"""A function from an image `[B, H, W, C]` and a kernel `[h, w, C, K]` to an output `[B, H', W', K]`."""


def with_gradients(value: Form, input_gradient: Form, kernel_gradient: Form) -> Form:
    """Combines three forms of the same convolution: one for the value and one for each of the two gradients.

    The backward pass itself computes what a gradient needs, such as tiles of the image and transformed kernels. JAX
    would otherwise compute it in the forward pass and store it.

    Args:
      value: form that computes the value.
      input_gradient: form whose derivative with respect to the image is used.
      kernel_gradient: form whose derivative with respect to the kernel is used.
    """

    @jax.custom_jvp
    def form(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return value(x, kernel)

    def tangent(primals, tangents):
        (x, kernel), (dx, dkernel) = primals, tangents
        parts = []
        if not isinstance(dx, SymbolicZero):
            parts.append(jax.checkpoint(input_gradient)(dx, kernel))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(jax.checkpoint(kernel_gradient)(x, dkernel))
        y = form(x, kernel)
        return y, sum(parts) if parts else jnp.zeros_like(y)

    form.defjvp(tangent, symbolic_zeros=True)
    return form


def apart(form: Form) -> Form:
    """Wraps a form in barriers, so that XLA materialises its input and output instead of fusing their computation.

    The kernel gradient of a convolution transposes the image and the gradient of the output. Without barriers XLA fuses
    the operations before it (batch norm, ReLU, the sum of a residual block) into the transposition, which computes
    them again and reads memory in large strides. Barriers need the compiler options in `runtime/compile.py`.
    """

    def separate(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.optimization_barrier(form(lax.optimization_barrier(x), kernel))

    return separate


def when_ready(form: Form) -> Form:
    """Makes a form begin when its images are there.

    XLA computes early what depends on the parameters alone: the transformed kernels of all layers, which may be larger
    than the activations, would fill memory from the start of the program.
    """

    def waiting(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return form(*lax.optimization_barrier((x, kernel)))

    return waiting


def direct(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
    dilation: Sequence[int] = (1, 1),
) -> jax.Array:
    """Computes a convolution with XLA's own operation."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, pads, None, dilation, numbers)


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Computes `x @ matrix` for many rows; the gradient of the matrix uses the faster order of its two factors.

    Args:
      x: `[n, C]`.
      matrix: `[C, K]`.
    """
    if matrix.shape[0] <= matrix.shape[1]:
        return x @ matrix
    # Without the barrier the compiler would undo the transposition.
    return with_gradients(jnp.matmul, jnp.matmul, lambda x, matrix: x @ lax.optimization_barrier(matrix.T).T)(x, matrix)


def pointwise(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int]) -> jax.Array:
    """Computes a 1x1 convolution as a single matrix product over all pixels.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[1, 1, C, K]`.
      strides: strides of rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    x = x[:, :: strides[0], :: strides[1]]
    out = product(x.reshape(-1, x.shape[-1]), kernel[0, 0])
    return out.reshape(*x.shape[:3], kernel.shape[-1])


def blocked_toeplitz(x: jax.Array, kernel: jax.Array, *, pads: Pads, block: int) -> jax.Array:
    """Computes a cross-correlation of stride 1 with a matrix product for each block of outputs in a row.

    A block of m neighbouring outputs reads h x (w + m - 1) x C inputs. Its matrix contains m copies of the kernel, each
    one pixel further to the right (a Toeplitz band), so it has h(w + m - 1)C rows and mK columns. This is large enough
    for the matrix units of a CPU even if C is small.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      pads: zeros `(before, after)` for rows and columns.
      block: number of outputs in a block, m.

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


def phases(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int], pads: Pads) -> jax.Array:
    """Computes a strided cross-correlation as a sum of cross-correlations of stride 1.

    Each of them reads every s-th row and column of the image and of the kernel, each from another start. The image
    gradient needs no zeros between the pixels. The direct gradient multiplies such zeros and does s² times the work.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.
      strides: strides of rows and columns, no larger than the kernel.
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
    """Computes a depthwise cross-correlation as a sum of shifted images, each multiplied by a weight per channel.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, 1, C]`.
      strides: strides of rows and columns.
      pads: zeros `(before, after)` for rows and columns.
      dilation: distance in pixels between neighbouring weights, for rows and columns.
      stacked: whether to cut the image in a way that makes the image gradient fast if there are strides.

    Returns:
      `[B, H', W', C]`.
    """
    shifts = _shifts(jnp.pad(x, ((0, 0), *pads, (0, 0))), kernel.shape, strides, dilation, stacked)
    return sum(image * kernel[i, j, 0] for (i, j), image in shifts)


def spread_shifts(x: jax.Array, kernel: jax.Array, *, pads: Pads, dilation: Sequence[int]) -> jax.Array:
    """Computes `shifted_products` of stride 1: adds the product of each pixel and weight to the output it belongs to.

    The image gradient of this form is a sum of shifted images. That of `shifted_products` is a sum of padded images.
    """
    extent = [(k - 1) * d for k, d in zip(kernel.shape[:2], dilation, strict=True)]
    canvas = 0
    for i, j in _taps(kernel.shape):
        before = [e - k * d for e, k, d in zip(extent, (i, j), dilation, strict=True)]
        margins = [(b, e - b, 0) for b, e in zip(before, extent, strict=True)]
        canvas += lax.pad(x * kernel[i, j, 0], x.dtype.type(0), [(0, 0, 0), *margins, (0, 0, 0)])
    crops = [(before - e, after - e, 0) for (before, after), e in zip(pads, extent, strict=True)]
    return lax.pad(canvas, x.dtype.type(0), [(0, 0, 0), *crops, (0, 0, 0)])


def _taps(kernel: Sequence[int]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]


def _shifts(
    x: jax.Array, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int], stacked: bool = False
) -> list[tuple[tuple[int, int], jax.Array]]:
    """Returns, for each weight of the kernel, its position and the part of the padded image that it multiplies."""
    starts = [[i * d for i in range(k)] for k, d in zip(kernel[:2], dilation, strict=True)]
    if stacked:
        rows = _every(x, 1, starts[0], strides[0])
        images = [image for row in rows for image in _every(row, 2, starts[1], strides[1])]
    else:
        height, width = (n - last for n, (*_, last) in zip(x.shape[1:3], starts, strict=True))
        corners = itertools.product(*starts)
        images = [x[:, i : i + height : strides[0], j : j + width : strides[1]] for i, j in corners]
    return list(zip(_taps(kernel), images, strict=True))


def _every(x: jax.Array, axis: int, starts: Sequence[int], step: int) -> list[jax.Array]:
    """Returns every step-th entry of an axis for each start; all results have the same length.

    A reshape gives the step an axis of its own, so the gradient is a stack. The gradient of strided slices would be a
    sum of arrays that are mostly zeros.
    """
    count = (x.shape[axis] - max(starts) - 1) // step + 1
    length = count + max(starts) // step
    x = lax.pad(x, x.dtype.type(0), [(0, (length * step - n) * (a == axis), 0) for a, n in enumerate(x.shape)])
    x = x.reshape(*x.shape[:axis], length, step, *x.shape[axis + 1 :])
    phases = [lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in range(step)]
    return [lax.slice_in_dim(phases[i % step], i // step, i // step + count, axis=axis) for i in starts]


def shifted_maximum(x: jax.Array, *, window: Sequence[int], strides: Sequence[int], pads: Pads) -> jax.Array:
    """Computes the maximum over each window: a maximum of shifted arrays for each axis, beginning with the last axis.

    In this order the first of equal maxima in row order gets the gradient. Barriers store the maxima of each axis in
    memory, because the gradient would otherwise compute them again.

    Args:
      x: array with any number of axes.
      window: size of the window for each axis.
      strides: distance between neighbouring windows for each axis.
      pads: numbers of entries -inf `(before, after)` that are added to each axis.
    """
    x = jnp.pad(x, pads, constant_values=-jnp.inf)
    for axis, (size, stride) in reversed(list(enumerate(zip(window, strides, strict=True)))):
        if size == stride == 1:
            continue
        x = lax.optimization_barrier(functools.reduce(_larger, _every(x, axis, range(size), stride)))
    return x


@jax.custom_jvp
def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes the maximum of two arrays; if two values are equal, the first one gets the gradient."""
    return jnp.maximum(a, b)


@_larger.defjvp
def _(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    return _larger(a, b), jnp.where(a >= b, da, db)


def spread_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes a transposed convolution whose stride equals the size of its kernel as a single matrix product.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`.

    Returns:
      `[B, h H, w W, K]`.
    """
    (b, height, width, c), (h, w, _, k) = x.shape, kernel.shape
    out = x.reshape(-1, c) @ kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(c, h * w * k)
    return out.reshape(b, height, width, h, w, k).transpose(0, 1, 3, 2, 4, 5).reshape(b, h * height, w * width, k)
