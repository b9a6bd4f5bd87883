"""Winograd's convolution of 3x3 kernels: tiles of 4x4 outputs, 36 products each instead of 144.

One form, written three times: as it is computed fastest, and for its gradients by the image and by the kernel. Its sums
and differences round more than the direct form does: 5 to 9 times as much at 64 channels and more, and still about one
part in 100,000 of the largest output. `dispatch.exact_forms` computes without it.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnlab.kernels import forms

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


def convolution(x: jax.Array, kernel: jax.Array, *, pads: forms.Pads) -> jax.Array:
    """Computes a 3x3 cross-correlation of stride 1 by tiles of 4x4 outputs with 36 products each instead of 144.

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
    """Computes `convolution` with its last step written as a transposed tiling, for a fast kernel gradient.

    Arguments and result are those of `convolution`.
    """

    def back(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        cut = functools.partial(_to_tiles, matrix=_OUTPUT.T, tiles=(shape[1] // 4, shape[2] // 4))
        return jax.linear_transpose(cut, jax.ShapeDtypeStruct(shape, products.dtype))(products)[0]

    return _by_tiles(x, kernel, pads, back)


def for_image(x: jax.Array, kernel: jax.Array, *, pads: forms.Pads) -> jax.Array:
    """Computes `convolution` as a transpose, so that its image gradient is a plain Winograd convolution.

    Arguments and result are those of `convolution`; pads are 2 at most.
    """
    back = functools.partial(
        convolution, kernel=kernel[::-1, ::-1].swapaxes(2, 3), pads=[(2 - low, 2 - high) for low, high in pads]
    )
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    (out,) = jax.linear_transpose(back, jax.ShapeDtypeStruct((x.shape[0], rows, columns, kernel.shape[3]), x.dtype))(x)
    return out


def _by_tiles(x: jax.Array, kernel: jax.Array, pads: forms.Pads, back: Callable) -> jax.Array:
    """Computes the 36 products of all tiles and passes them to `back` with the shape of the result in whole tiles."""
    c, k = kernel.shape[2:]
    rows, columns = (n + sum(pad) - 2 for n, pad in zip(x.shape[1:3], pads, strict=True))
    r, s = -(-rows // 4), -(-columns // 4)
    spill = (4 * r - rows, 4 * s - columns)
    x = jnp.pad(x, ((0, 0), *((low, high + more) for (low, high), more in zip(pads, spill, strict=True)), (0, 0)))
    factors = np.kron(_KERNEL, _KERNEL).astype(x.dtype) @ kernel.reshape(9, c * k)
    products = lax.dot_general(_to_tiles(x, _TILE, (r, s)), factors.reshape(36, c, k), (((2,), (1,)), ((0,), (0,))))
    return back(products, (x.shape[0], 4 * r, 4 * s, k))[:, :rows, :columns]


def _to_tiles(x: jax.Array, matrix: np.ndarray, tiles: tuple[int, int]) -> jax.Array:
    """Applies the matrix `[6, n]` to rows and columns of r x s tiles of n x n pixels, 4 apart: `[36, B r s, C]`."""
    r, s = tiles
    x = _combined(matrix, [x[:, i : i + 4 * r - 3 : 4] for i in range(matrix.shape[1])], axis=0)
    x = _combined(matrix, [x[:, :, :, j : j + 4 * s - 3 : 4] for j in range(matrix.shape[1])], axis=1)
    return x.reshape(36, -1, x.shape[-1])


def _from_tiles(products: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Applies `_OUTPUT` to rows and columns of the 6x6 products of every tile: `[B, 4 r, 4 s, K]`."""
    b, height, width, k = shape
    x = products.reshape(6, 6, b, height // 4, width // 4, k)
    x = _combined(_OUTPUT, list(x), axis=3)  # [6, B, r, 4, s, K]
    return _combined(_OUTPUT, list(x), axis=4).reshape(shape)


def _combined(matrix: np.ndarray, parts: Sequence[jax.Array], axis: int) -> jax.Array:
    """Sums the parts for each row of the matrix and stacks the sums; entries of 0 and 1 need no product."""
    sums = [sum(float(a) * part for a, part in zip(row, parts, strict=True) if a) for row in matrix]
    return jnp.stack(sums, axis)
