"""Winograd's convolution of 3x3 kernels: it computes tiles of 4x4 outputs with 36 products each instead of 144.

There are three versions of the same form: for a fast value, a fast image gradient and a fast kernel gradient. The sums
and differences of the form round five to nine times more than the direct convolution does; the error is still tiny
compared with the largest output. `dispatch.exact_forms` computes without this form.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnlab.kernels import forms

# The matrices of F(4x4, 3x3): `_TILE` transforms a 6x6 tile of the image, `_KERNEL` transforms the kernel, and
# `_OUTPUT` turns the 6x6 products into a tile of 4x4 outputs.
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


def convolution(x: jax.Array, kernel: jax.Array, *, pads: forms.Pads) -> jax.Array:
    """Computes a 3x3 cross-correlation of stride 1 by tiles of 4x4 outputs, with 36 products each instead of 144.

    Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, F(4x4, 3x3).

    Args:
      x: `[B, H, W, C]`.
      kernel: `[3, 3, C, K]`.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    return _by_tiles(x, kernel, pads, _from_tiles)


def for_kernel(x: jax.Array, kernel: jax.Array, *, pads: forms.Pads) -> jax.Array:
    """Computes the same as `convolution`, with a fast kernel gradient.

    The last step is written as the transpose of tiling, so that the kernel gradient only cuts both arrays into tiles.
    The arguments and the result are those of `convolution`.
    """

    def back(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        cut = functools.partial(_to_tiles, matrix=_OUTPUT.T, tiles=(shape[1] // 4, shape[2] // 4))
        return jax.linear_transpose(cut, jax.ShapeDtypeStruct(shape, products.dtype))(products)[0]

    return _by_tiles(x, kernel, pads, back)


def for_image(x: jax.Array, kernel: jax.Array, *, pads: forms.Pads) -> jax.Array:
    """Computes the same as `convolution`, with a fast image gradient.

    It is the transpose of a Winograd convolution, so that its image gradient is a plain Winograd convolution. The
    arguments and the result are those of `convolution`, but `pads` must be at most 2.
    """
    back = functools.partial(
        convolution, kernel=kernel[::-1, ::-1].swapaxes(2, 3), pads=[(2 - low, 2 - high) for low, high in pads]
    )
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    (out,) = jax.linear_transpose(back, jax.ShapeDtypeStruct((x.shape[0], rows, columns, kernel.shape[3]), x.dtype))(x)
    return out


def _by_tiles(x: jax.Array, kernel: jax.Array, pads: forms.Pads, back: Callable) -> jax.Array:
    """Computes the 36 products of each tile, and calls `back` with them and the shape of the result in whole tiles."""
    c, k = kernel.shape[2:]
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    r, s = -(-rows // 4), -(-columns // 4)
    spill = (4 * r - rows, 4 * s - columns)
    x = jnp.pad(x, ((0, 0), *((low, high + more) for (low, high), more in zip(pads, spill, strict=True)), (0, 0)))
    factors = np.kron(_KERNEL, _KERNEL).astype(x.dtype) @ kernel.reshape(9, c * k)
    products = lax.dot_general(_to_tiles(x, _TILE, (r, s)), factors.reshape(36, c, k), (((2,), (1,)), ((0,), (0,))))
    return back(products, (x.shape[0], 4 * r, 4 * s, k))[:, :rows, :columns]


def _to_tiles(x: jax.Array, matrix: np.ndarray, tiles: tuple[int, int]) -> jax.Array:
    """Cuts r x s tiles of n x n pixels, 4 pixels apart, and applies the matrix `[6, n]` to their rows and columns.

    Returns:
      `[36, B r s, C]`.
    """
    r, s = tiles
    x = _combined(matrix, [x[:, i : i + 4 * r - 3 : 4] for i in range(matrix.shape[1])], axis=0)
    x = _combined(matrix, [x[:, :, :, j : j + 4 * s - 3 : 4] for j in range(matrix.shape[1])], axis=1)
    return x.reshape(36, -1, x.shape[-1])


def _from_tiles(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Applies `_OUTPUT` to the rows and columns of the 6x6 products of each tile; returns `[B, 4 r, 4 s, K]`."""
    b, height, width, k = shape
    x = products.reshape(6, 6, b, height // 4, width // 4, k)
    x = _combined(_OUTPUT, list(x), axis=3)  # [6, B, r, 4, s, K]
    return _combined(_OUTPUT, list(x), axis=4).reshape(shape)


def _combined(matrix: np.ndarray, parts: Sequence[jax.Array], axis: int) -> jax.Array:
    """Returns, for each row of the matrix, the sum of the parts weighted by its entries, stacked along `axis`."""
    sums = [sum(float(a) * part for a, part in zip(row, parts, strict=True) if a) for row in matrix]
    return jnp.stack(sums, axis)
