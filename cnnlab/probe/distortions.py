"""What makes images hard, as a table of distortions of growing strength."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import as_float
from cnnlab.data.columns import follows
from cnnlab.geometry.warp import affine, elastic_displacement, warp_boxes, warp_images, warp_masks
from cnnlab.runtime.compile import jit

Batch = Mapping[str, jax.Array]

MIN_VISIBLE = 0.1  # smallest share of a box that must stay in the image; a box with less is no object any more
CAMERA = 2.0  # distance of the camera from the image, in longer sides of the image
GREY = 0.5  # colour of the occluder


class Motion(NamedTuple):
    """Where a geometric distortion moves the pixels of each image.

    Attributes:
      matrix: affine map of each image, `[B, 2, 3]`, see `cnnlab.geometry.warp`.
      displacement: offset in pixels of the position from which each pixel is read, `[B, H, W, 2]`.
      homography: projective map of each image, `[B, 3, 3]`, that the displacement computes.
    """

    matrix: jax.Array
    displacement: jax.Array | None = None
    homography: jax.Array | None = None


class Distortion(NamedTuple):
    """One way in which an image becomes harder, in several strengths.

    Either `move` or `change` is set. Both draw what is random (directions, places, noise) from the key alone, so that
    the same key gives the same draws at every strength.

    Attributes:
      strengths: strengths to measure; the first one changes nothing.
      label: format of a strength.
      meaning: what a strength stands for, in a few words.
      move: function `(key, B, (height, width), strength) -> Motion`; masks and boxes move with the image.
      change: function `(key, images, strength) -> images` for images `[B, H, W, C]` in [0, 1]; masks and boxes stay.
      bends: whether `move` bends straight lines, so that no box can follow.
    """

    strengths: tuple[float, ...]
    label: str
    meaning: str
    move: Callable[[jax.Array, int, tuple[int, int], jax.Array], Motion] | None = None
    change: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None
    bends: bool = False

    def text(self, strength: float) -> str:
        """Formats a strength, the first one as "none"."""
        return "none" if strength == self.strengths[0] else self.label.format(strength)


def distort(batch: Batch, distortion: Distortion, strength: jax.Array | float, key: jax.Array) -> dict[str, jax.Array]:
    """Distorts the images of a batch; what is annotated moves with them.

    Args:
      batch: `image` `[B, H, W, C]`, uint8 or in [0, 1], and other columns, as in `cnnlab.data.columns`.
      distortion: an entry of `DISTORTIONS`.
      strength: how strong; the table says in which unit.
      key: random key of the batch.

    Returns:
      The batch with float32 images in [0, 1]. If the pixels move, the nearest pixel of the edge fills what enters from
      outside, masks are -1 there, and a box of which less than a tenth stays visible becomes padding.

    >>> batch = {"image": jnp.full((1, 2, 2, 1), 0.25)}
    >>> distort(batch, DISTORTIONS["brightness"], 0.5, jax.random.key(0))["image"].ravel().tolist()
    [0.75, 0.75, 0.75, 0.75]
    """
    images = as_float(batch["image"])
    if distortion.move is None:
        return dict(batch) | {"image": distortion.change(key, images, strength)}
    size = images.shape[1:3]
    motion = distortion.move(key, len(images), size, strength)
    out = dict(batch) | {"image": move_maps(images, motion)}
    for name in follows("nearest") & set(batch):
        out[name] = warp_masks(batch[name], motion.matrix, displacement=motion.displacement)
    for name in follows("smooth") & set(batch):
        out[name] = move_maps(batch[name][..., None], motion)[..., 0]
    if "boxes" in batch:
        boxes = batch["boxes"] if motion.homography is None else project_boxes(batch["boxes"], motion.homography)
        moved = warp_boxes(boxes, batch["classes"], motion.matrix, size, min_visible=MIN_VISIBLE)
        out["boxes"], out["classes"] = moved
    return out


distorted = jit(distort, static_argnames="distortion")
"""`distort`, compiled once for each distortion and shape, whatever the strength."""


def strips(images: jax.Array, distortions: Mapping[str, Distortion], key: jax.Array) -> dict[str, np.ndarray]:
    """Returns the first of several images under each distortion, `[strengths, H, W, C]`, in the table's order.

    >>> strips(jnp.ones((2, 8, 8, 1)), {"noise": DISTORTIONS["noise"]}, jax.random.key(0))["noise"].shape
    (5, 8, 8, 1)
    """
    return {
        name: np.stack(
            [distorted({"image": images}, it, float(strength), key)["image"][0] for strength in it.strengths]
        )
        for name, it in distortions.items()
    }


def move_maps(maps: jax.Array, motion: Motion) -> jax.Array:
    """Moves maps `[B, H, W, C]`; the nearest value of the edge fills what enters from outside."""
    return warp_images(maps, motion.matrix, fill="edge", displacement=motion.displacement)


def project_boxes(boxes: jax.Array, homography: jax.Array) -> jax.Array:
    """Returns the tight boxes around the images of the ellipses inscribed in boxes.

    The points of an ellipse and their tangents form a conic; a homography H maps its dual matrix D to `H D H^T`, whose
    vertical and horizontal tangents are the sides of the box.

    Source: Hartley and Zisserman, Multiple View Geometry, 2004, result 2.14.

    Args:
      boxes: `[B, n, 4]`, xyxy in pixels.
      homography: `[B, 3, 3]`, without a point of a box on its horizon.

    Returns:
      Boxes `[B, n, 4]`, not clipped.

    >>> project_boxes(jnp.array([[[0.0, 0, 2, 4]]]), jnp.diag(jnp.array([3.0, 1, 1]))[None]).tolist()
    [[[0.0, 0.0, 6.0, 4.0]]]
    """
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    # The dual of the ellipse is the sum of -c c^T for its centre c = (x, y, 1) and of its squared half axes.
    one = jnp.ones((*boxes.shape[:-1], 1), boxes.dtype)
    columns = jnp.concatenate([centre, one], -1)[..., None], half[..., None, :] * jnp.eye(3, 2)
    middle, axes = (jnp.matmul(homography[:, None], part, precision="highest") for part in columns)
    middle = middle[..., 0]
    scale = jnp.square(middle[..., 2:]) - jnp.square(axes[..., 2, :]).sum(-1, keepdims=True)
    cross = middle[..., :2] * middle[..., 2:] - (axes[..., :2, :] * axes[..., 2:, :]).sum(-1)
    square = jnp.square(middle[..., :2]) - jnp.square(axes[..., :2, :]).sum(-1)
    root = jnp.sqrt(jnp.maximum(jnp.square(cross) - square * scale, 0))
    return jnp.concatenate([cross - root, cross + root], -1) / scale


def _directions(key: jax.Array, n: int) -> jax.Array:
    """Draws one of the four directions for each image, as vectors `[n, 2]` to the right and down."""
    return jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])[jax.random.randint(key, (n,), 0, 4)]


def _shift(key: jax.Array, n: int, size: tuple[int, int], share: jax.Array) -> Motion:
    # Whole pixels, because interpolation would blur the image too.
    return Motion(affine(size, shift=_directions(key, n) * jnp.round(share * jnp.array([size[1], size[0]]))))


def _rotation(key: jax.Array, n: int, size: tuple[int, int], degrees: jax.Array) -> Motion:
    return Motion(affine(size, rotation=degrees * jax.random.rademacher(key, (n,), jnp.float32)))


def _scale(key: jax.Array, n: int, size: tuple[int, int], factor: jax.Array) -> Motion:
    return Motion(jnp.broadcast_to(affine(size, zoom=factor), (n, 2, 3)))


def _elastic(key: jax.Array, n: int, size: tuple[int, int], share: jax.Array) -> Motion:
    return Motion(_identity(n, size), share * min(size) * elastic_displacement(key, n, size))


def _viewpoint(key: jax.Array, n: int, size: tuple[int, int], degrees: jax.Array) -> Motion:
    """Turns the plane of the image away from the camera, to one of four sides."""
    angle = jnp.deg2rad(degrees)
    towards = _directions(key, n)
    x, y = towards[:, 0], towards[:, 1]
    zero, one = jnp.zeros(n), jnp.ones(n)
    squeeze = jnp.cos(angle) - 1  # of distances along the direction
    depth = jnp.sin(angle) / (CAMERA * max(size))
    turn = jnp.stack(
        [1 + squeeze * x * x, squeeze * x * y, zero,
         squeeze * x * y, 1 + squeeze * y * y, zero,
         depth * x, depth * y, one], -1
    ).reshape(n, 3, 3)  # fmt: skip
    centre = jnp.eye(3).at[:2, 2].set(jnp.array([size[1] / 2, size[0] / 2]))
    homography = jnp.matmul(jnp.matmul(centre, turn, precision="highest"), 2 * jnp.eye(3) - centre, precision="highest")
    back = jnp.linalg.inv(homography)[:, :, :, None, None]
    points = jnp.arange(size[1]) + 0.5, (jnp.arange(size[0]) + 0.5)[:, None]
    u, v, w = (back[:, i, 0] * points[0] + back[:, i, 1] * points[1] + back[:, i, 2] for i in range(3))
    displacement = jnp.stack([u / w - points[0], v / w - points[1]], -1)
    return Motion(_identity(n, size), displacement, homography)


def _identity(n: int, size: tuple[int, int]) -> jax.Array:
    return jnp.broadcast_to(affine(size), (n, 2, 3))


def _brightness(key: jax.Array, images: jax.Array, added: jax.Array) -> jax.Array:
    return jnp.clip(images + added, 0, 1)


def _contrast(key: jax.Array, images: jax.Array, factor: jax.Array) -> jax.Array:
    mean = images.mean((1, 2, 3), keepdims=True)
    return jnp.clip(factor * images + (1 - factor) * mean, 0, 1)


def _noise(key: jax.Array, images: jax.Array, deviation: jax.Array) -> jax.Array:
    return jnp.clip(images + deviation * jax.random.normal(key, images.shape), 0, 1)


def _occlusion(key: jax.Array, images: jax.Array, share: jax.Array) -> jax.Array:
    """Covers a share of each image by a grey square (a rectangle if the image is one) at a random place inside it."""
    n, h, w, _ = images.shape
    place = jax.random.uniform(key, (2, n, 1))

    def covered(place: jax.Array, length: int) -> jax.Array:
        side = jnp.round(jnp.sqrt(share) * length)
        start = jnp.round(place * (length - side))
        return (jnp.arange(length) >= start) & (jnp.arange(length) < start + side)

    inside = covered(place[0], h)[:, :, None] & covered(place[1], w)[:, None, :]
    return jnp.where(inside[..., None], GREY, images)


def _clutter(key: jax.Array, images: jax.Array, number: jax.Array) -> jax.Array:
    """Pastes pieces of other images of the batch along the border of each image.

    A piece is a square with a quarter of the shorter side, cut from around the middle of another image. What it shows
    is background: it is not added to masks or boxes, so a network that recognises it is wrong.
    """
    n, h, w, c = images.shape
    side = max(1, min(h, w) // 4)
    room = jnp.array([h - side, w - side])

    def paste(j: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        image, row = state
        draws = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, row), j), 4)
        other = (row + jax.random.randint(draws[0], (), 1, max(n, 2))) % n
        start = (room / 2 + side / 2 * jax.random.uniform(draws[1], (2,), minval=-1)).astype(jnp.int32)
        piece = jax.lax.dynamic_slice(images, (other, *jnp.clip(start, 0, room), 0), (1, side, side, c))[0]
        border, along = jax.random.randint(draws[2], (), 0, 4), jax.random.uniform(draws[3], (2,)) * (room + 1)
        fixed = jnp.where(border < 2, 0, room)  # left or upper border, or the opposite ones
        place = jnp.where(jnp.arange(2) == border % 2, fixed, along.astype(jnp.int32))
        return jax.lax.dynamic_update_slice(image, piece, (*place, 0)), row

    def one(image: jax.Array, row: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, jnp.asarray(number, jnp.int32), paste, (image, row))[0]

    return jax.vmap(one)(images, jnp.arange(n))


def _subsampling(key: jax.Array, images: jax.Array, factor: jax.Array) -> jax.Array:
    """Keeps the middle pixel of each block of `factor` x `factor` pixels and repeats it over the block."""
    factor = jnp.asarray(factor, jnp.int32)
    rows, columns = (
        jnp.minimum(jnp.arange(length) // factor * factor + factor // 2, length - 1) for length in images.shape[1:3]
    )
    return images[:, rows][:, :, columns]


def _pixelation(key: jax.Array, images: jax.Array, factor: jax.Array) -> jax.Array:
    """Replaces each block of `factor` x `factor` pixels by its mean."""
    factor = jnp.asarray(factor, jnp.int32)

    def averaging(length: int) -> jax.Array:
        block = jnp.arange(length) // factor
        together = (block[:, None] == block).astype(jnp.float32)
        return together / together.sum(1, keepdims=True)

    rows, columns = averaging(images.shape[1]), averaging(images.shape[2])
    images = jnp.einsum("yi,bijc->byjc", rows, images, precision="highest")
    return jnp.einsum("xj,byjc->byxc", columns, images, precision="highest")


DISTORTIONS: dict[str, Distortion] = {
    "shift": Distortion((0, 0.05, 0.1, 0.15, 0.2, 0.3), "{:.0%}", "share of the side", _shift),
    "rotation": Distortion((0, 15, 30, 45, 60, 90, 135, 180), "{:g}°", "to either side", _rotation),
    "scale": Distortion((1, 0.5, 0.71, 1.41, 2), "× {:g}", "magnification", _scale),
    "viewpoint": Distortion((0, 15, 30, 45, 60), "{:g}°", "angle of the camera", _viewpoint),
    "elastic": Distortion((0, 0.02, 0.05, 0.1, 0.15), "{:.0%}", "displacement, share of side", _elastic, bends=True),
    "brightness": Distortion((0, -0.5, -0.25, 0.25, 0.5), "{:+g}", "added to values of 0 to 1", change=_brightness),
    "contrast": Distortion((1, 0.1, 0.25, 0.5, 2, 4), "× {:g}", "distances from the mean", change=_contrast),
    "noise": Distortion((0, 0.05, 0.1, 0.2, 0.4), "{:g}", "standard deviation", change=_noise),
    "occlusion": Distortion((0, 0.05, 0.1, 0.2, 0.4), "{:.0%}", "share under a grey square", change=_occlusion),
    "clutter": Distortion((0, 1, 2, 4, 8), "{:g}", "pieces of other images", change=_clutter),
    "subsampling": Distortion((1, 2, 4, 8), "1/{:g}", "pixels kept along an axis", change=_subsampling),
    "pixelation": Distortion((1, 2, 4, 8), "1/{:g}", "means of blocks", change=_pixelation),
}
"""The distortions by name: the challenges of image classification, but for intraclass variation (`vary`)."""
