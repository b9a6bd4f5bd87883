"""Convolutions written out weight by weight or pixel by pixel, so that the compiler keeps their parts in registers.

XLA turns such a sum into a single loop over pixels, with the channels innermost. LLVM turns each product into a fused
multiply-add. `dispatch.py` decides for which shapes this is faster than a convolution.
"""

import functools
import itertools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from cnnlab.kernels.forms import Pads
from cnnlab.runtime.compile import with_wide_vectors

LANES = 16  # number of floats in a vector of AVX-512
WEIGHTS = 27  # number of vectors of weights that fit into the 32 registers beside the sums
_SUMS = 4  # number of independent sums, which the CPU computes in parallel


def convolution(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int], pads: Pads) -> jax.Array:
    """Computes a cross-correlation while reading the image once, with the weights of 16 output channels in registers.

    With more than 27 weights it would have to read the image several times. This is faster for a convolution alone, but
    not within a network, where the image is no longer in the cache.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[h, w, C, K]`, where hwC is at most 27 and K is a multiple of 16.
      strides: strides of rows and columns.
      pads: zeros `(before, after)` for rows and columns.

    Returns:
      `[B, H', W', K]`.
    """
    h, w, c, k = kernel.shape
    x = lax.optimization_barrier(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    rows, columns = x.shape[1] - h + 1, x.shape[2] - w + 1
    weights = kernel.reshape(h, w, c, k // LANES, LANES)

    @with_wide_vectors
    def summed(x: jax.Array, weights: jax.Array) -> jax.Array:
        products = [
            x[:, i : i + rows : strides[0], j : j + columns : strides[1], m, None, None] * weights[i, j, m]
            for i, j, m in itertools.product(range(h), range(w), range(c))
        ]
        sums = [functools.reduce(operator.add, products[n::_SUMS]) for n in range(min(_SUMS, len(products)))]
        return functools.reduce(operator.add, sums)

    out = summed(x, weights)
    return out.reshape(*out.shape[:3], k)


def depthwise_for_kernel(
    x: jax.Array, kernel: jax.Array, *, strides: Sequence[int], pads: Pads, dilation: Sequence[int], block: int = 8
) -> jax.Array:
    """Computes a depthwise cross-correlation by blocks of outputs, each with its own copy of the kernel.

    Its kernel gradient is first summed within each block, pixel by pixel, and then over the blocks.

    The arguments and the result are those of `forms.shifted_products`; `block` is the largest number of rows and of
    columns in a block.
    """
    (b, *image, c), (h, w, _, _) = x.shape, kernel.shape
    reach = [(n - 1) * d + 1 for n, d in zip((h, w), dilation, strict=True)]
    size = [(n + sum(pad) - r) // s + 1 for n, pad, r, s in zip(image, pads, reach, strides, strict=True)]
    blocks = [-(-n // block) for n in size]
    sides = [-(-n // count) for n, count in zip(size, blocks, strict=True)]
    steps = [side * s for side, s in zip(sides, strides, strict=True)]
    spans = [step - s + r for step, s, r in zip(steps, strides, reach, strict=True)]
    ends = [step * (count - 1) + span for step, count, span in zip(steps, blocks, spans, strict=True)]
    margins = [(pad[0], end - n - pad[0], 0) for pad, end, n in zip(pads, ends, image, strict=True)]
    x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *margins, (0, 0, 0)])

    def window(i: jax.Array, j: jax.Array) -> jax.Array:
        return lax.dynamic_slice(x, (0, i, j, 0), (b, *spans, c))

    corners = [step * jnp.arange(count) for step, count in zip(steps, blocks, strict=True)]
    windows = jax.vmap(jax.vmap(window, (None, 0), 1), (0, None), 1)(*corners)  # [B, down, across, rows, columns, C]
    windows = lax.optimization_barrier(windows)
    # The copies are a matrix product with ones, because the gradient of a matrix product is a matrix product, too. The
    # gradient of a broadcast is a sum over several axes, which is slower.
    kernels = jnp.ones((b * blocks[0] * blocks[1], 1), x.dtype) @ kernel.reshape(1, -1)
    kernels = lax.optimization_barrier(kernels.reshape(b, *blocks, h, w, c))
    kernels = [jnp.copy(kernels) for _ in range(_SUMS)]
    lines = []
    for i in range(0, steps[0], strides[0]):
        line = []
        for j in range(0, steps[1], strides[1]):
            part = windows[:, :, :, i : i + reach[0] : dilation[0], j : j + reach[1] : dilation[1]]
            line.append((part * kernels[len(line) % _SUMS]).sum((3, 4)))
        lines.append(jnp.stack(line, 3))
    out = jnp.stack(lines, 2)  # [B, down, rows, across, columns, C]
    out = out.reshape(b, blocks[0] * sides[0], blocks[1] * sides[1], c)
    return out[:, : size[0], : size[1]]
