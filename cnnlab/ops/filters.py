"""Classical image filters: their kernels by name, and a function that applies them to images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from cnnlab.errors import unknown
from cnnlab.ops.arithmetic import at_least
from cnnlab.ops.convolution import cross_correlate
from cnnlab.ops.windows import Border


def box(size: int = 3) -> np.ndarray:
    """Returns the kernel `[size, size]` that averages over a square.

    >>> box(2).tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    side = at_least("size", size, 1)
    return np.full((side, side), 1 / side**2, np.float32)


def gaussian(size: int = 3, sigma: float | None = None) -> np.ndarray:
    """Returns the kernel `[size, size]` that averages with the weights of a Gaussian.

    Args:
      size: side of the kernel in pixels.
      sigma: standard deviation in pixels. By default the weights are binomial coefficients, whose standard deviation
        is √(size - 1) / 2.

    >>> (16 * gaussian()).tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    n = at_least("size", size, 1) - 1
    if sigma is None:
        weights = np.array([math.comb(n, i) for i in range(size)], float)
    elif sigma > 0:
        weights = np.exp(-0.5 * ((np.arange(size) - n / 2) / sigma) ** 2)
    else:
        raise ValueError(f"sigma must be above 0, found {sigma}")
    weights /= weights.sum()
    return np.outer(weights, weights).astype(np.float32)


FILTERS = {
    "box": box(),
    "gaussian": gaussian(),
    "sobel_x": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32),  # vertical edges
    "sobel_y": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], np.float32),  # horizontal edges
    "edge": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32),  # Laplacian with all 8 neighbours
    "emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32),  # minus a Laplacian of 4 neighbours
}
"""Kernels `[3, 3]` by name, for cross-correlation. `sobel_x` is positive where the image gets brighter to the right,
`sobel_y` where it gets brighter downwards. `emboss` shows bright areas as raised, with light from the top left.
`convolve` flips these three kernels."""


def apply_filter(images: ArrayLike, kernel: str | ArrayLike, *, border: Border = "edge") -> jax.Array:
    """Filters every channel of images separately, by cross-correlation; the size of the images does not change.

    Args:
      images: `[..., H, W, C]`.
      kernel: a name in `FILTERS`, or an array `[h, w]`.
      border: values outside the images, as in `cross_correlate`.

    Returns:
      `[..., H, W, C]`. Values are not clipped: the Sobel, edge and emboss filters also produce negative ones.

    Raises:
      ValueError: the name is unknown, or the images or the kernel have another shape.

    >>> ramp = jnp.tile(jnp.arange(4.0)[:, None], (3, 1, 1))
    >>> apply_filter(ramp, "sobel_x")[1, :, 0].tolist()
    [4.0, 8.0, 8.0, 4.0]
    """
    if isinstance(kernel, str):
        if kernel not in FILTERS:
            raise unknown("filter", kernel, FILTERS)
        kernel = FILTERS[kernel]
    kernel, images = jnp.asarray(kernel), jnp.asarray(images)
    if kernel.ndim != 2 or images.ndim < 3:
        raise ValueError(f"expected images [..., H, W, C] and a kernel [h, w], found {images.shape} and {kernel.shape}")
    planes = cross_correlate(jnp.moveaxis(images, -1, 0), kernel, padding="same", border=border)
    return jnp.moveaxis(planes, 0, -1)
