"""Affine warps of images, masks and boxes.

A matrix `[..., 2, 3]` maps a point `(x, y, 1)` to its new position. The coordinates are continuous and in pixels: x
points to the right, y points down, and the centre of the first pixel is (0.5, 0.5). Some accelerators round the inputs
of matrix products, so the coordinates are computed as sums of products instead. Therefore shifts by whole pixels, flips
and quarter turns are exact on every backend.
"""

from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp

Fill = float | Literal["edge"]


def affine(
    size: tuple[int, int],
    *,
    horizontal_flip: jax.Array | bool = False,
    vertical_flip: jax.Array | bool = False,
    zoom: jax.Array | float = 1.0,
    shear: jax.Array | float = 0.0,
    rotation: jax.Array | float = 0.0,
    shift: jax.Array | tuple[float, float] = (0.0, 0.0),
) -> jax.Array:
    """Returns the matrix that flips, zooms, shears, rotates about the image's centre and shifts, in this order.

    Args:
      size: height and width of the image in pixels.
      horizontal_flip: whether to swap left and right.
      vertical_flip: whether to swap top and bottom.
      zoom: magnification; 2 makes everything twice as large.
      shear: shift to the right in pixels for each pixel down.
      rotation: angle in degrees, counter-clockwise; multiples of 90 are exact.
      shift: shift to the right and down in pixels, `[..., 2]`.

    Returns:
      Matrix `[..., 2, 3]`, whose leading axes are those of the arguments after broadcasting.

    >>> (affine((4, 4), rotation=90.0) + 0.0).tolist()
    [[0.0, 1.0, 0.0], [-1.0, 0.0, 4.0]]
    """
    turns = jnp.round(jnp.asarray(rotation, jnp.float32) / 90)
    angle = jnp.deg2rad(rotation - 90 * turns)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    quarter = turns.astype(jnp.int32) % 4
    cosine, sine = (
        jnp.select([quarter == 0, quarter == 1, quarter == 2], [cosine, -sine, -cosine], sine),
        jnp.select([quarter == 0, quarter == 1, quarter == 2], [sine, cosine, -sine], -cosine),
    )
    x, y = jnp.where(horizontal_flip, -zoom, zoom), jnp.where(vertical_flip, -zoom, zoom)
    xx, xy, yx, yy = cosine * x, (cosine * shear + sine) * y, -sine * x, (cosine - sine * shear) * y
    centre_x, centre_y = size[1] / 2, size[0] / 2
    shift = jnp.asarray(shift, jnp.float32)
    return _matrix(
        xx, xy, centre_x - xx * centre_x - xy * centre_y + shift[..., 0],
        yx, yy, centre_y - yx * centre_x - yy * centre_y + shift[..., 1],
    )  # fmt: skip


def invert(matrix: jax.Array) -> jax.Array:
    """Returns the inverse matrix `[..., 2, 3]`.

    >>> (invert(affine((4, 4), zoom=2.0)) + 0.0).tolist()
    [[0.5, 0.0, 1.0], [0.0, 0.5, 1.0]]
    """
    (xx, xy, x), (yx, yy, y) = ([matrix[..., i, j] for j in range(3)] for i in range(2))
    scale = xx * yy - xy * yx
    xx, xy, yx, yy = yy / scale, -xy / scale, -yx / scale, xx / scale
    return _matrix(xx, xy, -(xx * x + xy * y), yx, yy, -(yx * x + yy * y))


def _matrix(*entries: jax.Array) -> jax.Array:
    """Builds the matrix `[..., 2, 3]` from its six entries, row by row."""
    entries = jnp.broadcast_arrays(*entries)
    return jnp.stack(entries, -1).reshape(*entries[0].shape, 2, 3)


def elastic_displacement(key: jax.Array, number: int, size: tuple[int, int], *, grid: int = 3) -> jax.Array:
    """Draws smooth random displacements: normal numbers on a coarse grid, with cubic interpolation between them.

    The standard deviation on the grid is 1.

    Source: Ronneberger et al., U-Net, MICCAI 2015, section 3.1, with a 3x3 grid and a standard deviation of 10 pixels.

    Args:
      key: random key.
      number: number of images.
      size: height and width of the images in pixels.
      grid: number of grid points along each axis.

    Returns:
      Displacements to the right and down, `[number, H, W, 2]`.

    >>> elastic_displacement(jax.random.key(0), 2, (8, 6)).shape
    (2, 8, 6, 2)
    """
    coarse = jax.random.normal(key, (number, grid, grid, 2))
    return jax.image.resize(coarse, (number, *size, 2), "cubic")


def warp_images(
    images: jax.Array, matrix: jax.Array, *, fill: Fill = 0.0, displacement: jax.Array | None = None
) -> jax.Array:
    """Warps each image by its own matrix, with bilinear interpolation.

    Args:
      images: `[B, H, W, C]`; uint8 values are divided by 255, and floating-point values are not changed.
      matrix: matrix of each image, `[B, 2, 3]`.
      fill: value outside the image, which blends into the border over a width of one pixel; or "edge", which repeats
        the nearest pixel.
      displacement: offset to the right and down in pixels, `[B, H, W, 2]`, that is added to the position from which
        each pixel of the output is read.

    Returns:
      `[B, H, W, C]` float32; in [0, 1] if the images are uint8.

    >>> image = jnp.arange(3.0).reshape(1, 1, 3, 1)
    >>> warp_images(image, affine((1, 3), shift=(0.5, 0.0))[None]).ravel().tolist()
    [0.0, 0.5, 1.5]
    """
    scale = 255 if images.dtype == jnp.uint8 else 1
    back = invert(matrix)

    # Each output pixel is a sum of four gathered pixels. XLA fuses the arithmetic of the indices into the gathers. This
    # is faster than products with banded matrices and than gathers of packed words.
    def warp(image: jax.Array, back: jax.Array, bend: jax.Array | None) -> jax.Array:
        h, w, c = image.shape
        x, y = _sources(back, h, w, bend)
        pixels = image.reshape(h * w, c)
        out, covered = 0.0, 0.0
        for row, share_y in _taps(y, h, fill):
            for column, share_x in _taps(x, w, fill):
                share = (share_y * share_x)[..., None]
                out += pixels.at[row * w + column].get(mode="clip").astype(jnp.float32) * share
                covered += share
        out = out / scale
        return out if fill in (0, "edge") else out + fill * (1 - covered)

    return jax.vmap(warp)(images, back, displacement)


def _sources(back: jax.Array, h: int, w: int, bend: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Returns the positions x and y, `[h, w]`, in the source image from which the output's pixels are read."""
    x, y = jnp.arange(w) + 0.5, jnp.arange(h)[:, None] + 0.5
    x, y = back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return (x, y) if bend is None else (x + bend[..., 0], y + bend[..., 1])


def _taps(x: jax.Array, n: int, fill: Fill) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Yields index and weight of the two pixels around each coordinate.

    Indices lie in 0..n-1. The weight of a pixel outside the image is 0, unless `fill` is "edge".
    """
    left = jnp.floor(x - 0.5)
    right_share = x - 0.5 - left
    for place, share in ((left, 1 - right_share), (left + 1, right_share)):
        inside = jnp.clip(place, 0, n - 1)
        yield inside.astype(jnp.int32), share if fill == "edge" else jnp.where(place == inside, share, 0)


def warp_masks(
    masks: jax.Array, matrix: jax.Array, *, outside: int = -1, displacement: jax.Array | None = None
) -> jax.Array:
    """Warps each mask by its own matrix; each pixel of the output gets the value of the nearest pixel.

    Args:
      masks: integer masks `[B, H, W]`.
      matrix: matrix of each mask, `[B, 2, 3]`.
      outside: value outside the mask; -1 means that the pixel is ignored.
      displacement: as in `warp_images`.

    Returns:
      Masks `[B, H, W]` with the dtype of the input.

    >>> warp_masks(jnp.array([[[1, 2, 3]]]), affine((1, 3), shift=(1.0, 0.0))[None]).tolist()
    [[[-1, 1, 2]]]
    """

    def warp(mask: jax.Array, back: jax.Array, bend: jax.Array | None) -> jax.Array:
        h, w = mask.shape
        x, y = (jnp.floor(place) for place in _sources(back, h, w, bend))
        column, row = jnp.clip(x, 0, w - 1), jnp.clip(y, 0, h - 1)
        place = row.astype(jnp.int32) * w + column.astype(jnp.int32)
        value = mask.reshape(h * w).at[place].get(mode="clip")
        return jnp.where((x == column) & (y == row), value, outside)

    return jax.vmap(warp)(masks, invert(matrix), displacement)


def warp_boxes(
    boxes: jax.Array, classes: jax.Array, matrix: jax.Array, size: tuple[int, int], *, min_visible: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Warps the boxes of each image by its matrix, and clips them to the image.

    A warped box is the tight box around the warped ellipse that is inscribed in the box, because an ellipse fills its
    box in much the same way as an object does. The tight box around the warped corners would grow with every rotation.
    For flips, quarter turns, zooms and shifts the result is the warped box itself.

    Args:
      boxes: boxes `[B, N, 4]`, xyxy in pixels.
      classes: classes `[B, N]`, -1 = padding.
      matrix: matrix of each image, `[B, 2, 3]`.
      size: height and width of the images in pixels.
      min_visible: smallest share of a warped box that must lie inside the image. Boxes with a smaller share become
        padding, and so do boxes that lie completely outside.

    Returns:
      `(boxes [B, N, 4], classes [B, N])`; the boxes of padding are zeros.

    >>> boxes, classes = jnp.array([[[0.0, 0, 2, 1]]]), jnp.array([[7]])
    >>> warp_boxes(boxes, classes, affine((4, 4), rotation=90.0)[None], (4, 4))[0].tolist()
    [[[0.0, 2.0, 1.0, 4.0]]]
    """
    m = matrix[:, None]  # [B, 1, 2, 3]
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    centre = m[..., 0] * centre[..., :1] + m[..., 1] * centre[..., 1:] + m[..., 2]
    half = jnp.hypot(m[..., 0] * half[..., :1], m[..., 1] * half[..., 1:])
    limit = jnp.array([size[1], size[0]], boxes.dtype)
    low, high = jnp.clip(centre - half, 0, limit), jnp.clip(centre + half, 0, limit)
    # A box without extent along an axis is visible along this axis if its position lies inside the image.
    point = (centre >= 0) & (centre <= limit)
    visible = jnp.where(half > 0, (high - low) / jnp.where(half > 0, 2 * half, 1), point).prod(-1)
    mask = (classes >= 0) & (visible > 0) & (visible >= min_visible)
    return jnp.where(mask[..., None], jnp.concatenate([low, high], -1), 0), jnp.where(mask, classes, -1)


def instance_boxes(instances: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Returns the tight boxes around the objects in an instance map.

    Args:
      instances: integer map `[B, H, W]`: the number of the object at each pixel, in 0..n-1; any other number means
        that there is no object.
      n: largest number of objects in an image.

    Returns:
      `(boxes [B, n, 4] float32 xyxy, present [B, n])`. An object without a pixel is not present, and its box is zeros.

    >>> instance_boxes(jnp.array([[[-1, 0, 0], [-1, 0, -1]]]), 1)[0].tolist()
    [[[1.0, 0.0, 3.0, 2.0]]]
    """
    each = instances[:, None] == jnp.arange(n)[:, None, None]  # [B, n, H, W]
    rows, columns = each.any(3), each.any(2)
    first = [jnp.argmax(line, -1) for line in (columns, rows)]
    last = [line.shape[-1] - jnp.argmax(line[..., ::-1], -1) for line in (columns, rows)]
    present = rows.any(-1)
    boxes = jnp.stack([*first, *last], -1).astype(jnp.float32)
    return jnp.where(present[..., None], boxes, 0), present
