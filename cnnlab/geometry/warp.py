"""Affine warps of images, masks and boxes.

A matrix `[..., 2, 3]` says where a point `(x, y, 1)` goes, in continuous pixel coordinates: x to the right, y down, the
centre of the first pixel at (0.5, 0.5). Coordinates are sums of products, never matrix products, whose inputs some
accelerators round: whole-pixel shifts, flips and quarter turns are exact on every backend.
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
      size: height and width in pixels.
      horizontal_flip: left and right change places.
      vertical_flip: top and bottom change places.
      zoom: magnification; 2 shows everything twice as large.
      shear: pixels to the right for every pixel down.
      rotation: degrees counter-clockwise; multiples of 90 are exact.
      shift: `[..., 2]`, pixels to the right and down.

    Returns:
      `[..., 2, 3]`; the leading axes are those of the arguments, broadcast.

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
    """Draws smooth random displacements of standard deviation 1: normal on a coarse grid, cubic in between.

    Source: Ronneberger et al., U-Net, MICCAI 2015, section 3.1 (its grid is 3x3, its deviation 10 pixels).

    Args:
      key: random key of the draw.
      number: number of images.
      size: height and width in pixels.
      grid: points along either side.

    Returns:
      `[number, H, W, 2]`, to the right and down.

    >>> elastic_displacement(jax.random.key(0), 2, (8, 6)).shape
    (2, 8, 6, 2)
    """
    coarse = jax.random.normal(key, (number, grid, grid, 2))
    return jax.image.resize(coarse, (number, *size, 2), "cubic")


def warp_images(
    images: jax.Array, matrix: jax.Array, *, fill: Fill = 0.0, displacement: jax.Array | None = None
) -> jax.Array:
    """Images moved by one matrix each, bilinear.

    Args:
      images: `[B, H, W, C]`; uint8 is read as 0..255, floating point as it is.
      matrix: `[B, 2, 3]`.
      fill: what lies outside: a value, which blends into the border over one pixel, or the nearest pixel (`edge`).
      displacement: `[B, H, W, 2]`, how far to the right and down of its place by the matrix a pixel is read.

    Returns:
      `[B, H, W, C]` float32; images that came as uint8 lie in [0, 1].

    >>> image = jnp.arange(3.0).reshape(1, 1, 3, 1)
    >>> warp_images(image, affine((1, 3), shift=(0.5, 0.0))[None]).ravel().tolist()
    [0.0, 0.5, 1.5]
    """
    scale = 255 if images.dtype == jnp.uint8 else 1
    back = invert(matrix)

    # Four gathers of whole pixels, with their index arithmetic fused into them, are faster than products with banded
    # matrices and than gathers of packed words.
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
    """Returns the x and y `[h, w]` from which the centre of every pixel comes."""
    x, y = jnp.arange(w) + 0.5, jnp.arange(h)[:, None] + 0.5
    x, y = back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return (x, y) if bend is None else (x + bend[..., 0], y + bend[..., 1])


def _taps(x: jax.Array, n: int, fill: Fill) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Returns the two pixels around a coordinate as index in 0..n-1 and weight; the weight is 0 outside the image."""
    left = jnp.floor(x - 0.5)
    right_share = x - 0.5 - left
    for place, share in ((left, 1 - right_share), (left + 1, right_share)):
        inside = jnp.clip(place, 0, n - 1)
        yield inside.astype(jnp.int32), share if fill == "edge" else jnp.where(place == inside, share, 0)


def warp_masks(
    masks: jax.Array, matrix: jax.Array, *, outside: int = -1, displacement: jax.Array | None = None
) -> jax.Array:
    """Masks moved by one matrix each: the nearest pixel's value.

    Args:
      masks: `[B, H, W]` integers.
      matrix: `[B, 2, 3]`.
      outside: what enters from outside; -1 = ignore.
      displacement: as in `warp_images`.

    Returns:
      `[B, H, W]`, of the same type.

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
    """Warps boxes by one matrix per image: the tight box of the warped inscribed ellipse, clipped to the image.

    The box of the warped corners would grow with every rotation; an ellipse fills its box much as objects do. Flips,
    quarter turns, zooms and shifts give the box itself.

    Args:
      boxes: `[B, N, 4]` xyxy in pixels.
      classes: `[B, N]`, -1 = padding.
      matrix: `[B, 2, 3]`.
      size: height and width of the images in pixels.
      min_visible: boxes of which less than this share stays inside become padding, as do those that leave altogether.

    Returns:
      `(boxes [B, N, 4], classes [B, N])`; padding is a box of zeros.

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
    # A box without extent counts as visible where its place is.
    point = (centre >= 0) & (centre <= limit)
    visible = jnp.where(half > 0, (high - low) / jnp.where(half > 0, 2 * half, 1), point).prod(-1)
    kept = (classes >= 0) & (visible > 0) & (visible >= min_visible)
    return jnp.where(kept[..., None], jnp.concatenate([low, high], -1), 0), jnp.where(kept, classes, -1)


def instance_boxes(instances: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Returns the tight boxes of the objects in a map.

    Args:
      instances: `[B, H, W]` integers: the number 0..n-1 of the object at every pixel, anything else for none.
      n: how many objects an image has at most.

    Returns:
      `(boxes [B, n, 4] float32 xyxy, present [B, n])`; an object without a pixel has a box of zeros.

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
