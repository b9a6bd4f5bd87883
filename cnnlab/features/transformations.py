"""Random transformations of images before each step, so that an optimum does not depend on single pixels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnlab.geometry.warp import affine, invert


class Transformations(NamedTuple):
    """Ranges of the random transformations, which are drawn uniformly.

    Attributes:
      jitter: largest shift in pixels, along each axis.
      rotation: largest rotation to either side in degrees; less than 45.
      scale: limit of the magnification, whose logarithm is drawn: it lies between 1 / (1 + scale) and 1 + scale.
    """

    jitter: int
    rotation: float
    scale: float


def transform(images: jax.Array, key: jax.Array, ranges: Transformations) -> jax.Array:
    """Shifts, rotates and magnifies all images in the same way, drawn from a key.

    What enters from outside is the image, mirrored at its border.

    Args:
      images: `[B, H, W, C]`.
      key: random key.
      ranges: ranges of the transformations.

    >>> images = jnp.arange(4.0).reshape(1, 1, 4, 1)
    >>> transform(images, jax.random.key(0), Transformations(0, 0.0, 0.0)).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    key_shift, key_rotation, key_scale = jax.random.split(key, 3)
    shift = jax.random.randint(key_shift, (2,), -ranges.jitter, ranges.jitter + 1)
    rotation = jax.random.uniform(key_rotation, minval=-ranges.rotation, maxval=ranges.rotation)
    zoom = (1 + ranges.scale) ** jax.random.uniform(key_scale, minval=-1.0, maxval=1.0)
    matrix = affine(images.shape[1:3], zoom=zoom, rotation=rotation, shift=shift.astype(jnp.float32))
    return warp_together(images, matrix)


def warp_together(images: jax.Array, matrix: jax.Array) -> jax.Array:
    """Warps all images by one matrix, with linear interpolation along rows and then along columns.

    Each pass is a matrix product for each row or column. On a CPU its gradient is much faster than that of gathers, and
    it is exact.

    Source: Catmull and Smith, 3-D Transformations of Images in Scanline Order, SIGGRAPH 1980.

    Args:
      images: `[B, H, W, C]`.
      matrix: `[2, 3]`, as in `cnnlab.geometry.warp`, of a rotation by less than 45 degrees.
    """
    h, w = images.shape[1:3]
    (xx, xy, x), (yx, yy, y) = invert(matrix)  # from the output to the image
    columns, rows = jnp.arange(w) + 0.5, jnp.arange(h) + 0.5
    row = (rows[:, None] - yx * columns - y) / yy  # of the output, at a row of the image and a column of the output
    along_rows = _interpolation(xx * columns + xy * row + x, w)  # [H, W of the output, W]
    along_columns = _interpolation(yx * columns[:, None] + yy * rows + y, h)  # [W, H of the output, H]
    precision = jax.lax.Precision.HIGHEST
    images = jnp.einsum("yvx,byxc->byvc", along_rows, images, precision=precision)
    return jnp.einsum("xuy,byxc->buxc", along_columns, images, precision=precision)


def _interpolation(places: jax.Array, n: int) -> jax.Array:
    """Returns the weights of `n` pixels, `[..., n]`, whose sum is the linear interpolation at a place.

    Places beyond the border are mirrored at it.
    """
    place = jnp.mod(places - 0.5, 2 * n)  # 0 is the centre of the first pixel
    place = jnp.clip(jnp.where(place > n - 0.5, 2 * n - 1 - place, place), 0, n - 1)
    return jax.nn.relu(1 - jnp.abs(place[..., None] - jnp.arange(n)))
