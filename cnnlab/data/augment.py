"""Augmentation on the device, inside the compiled training step: one warp per example, then changes of its colours."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data.columns import follows
from cnnlab.data.spec import InputSpec, as_float
from cnnlab.geometry import warp

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random changes that are drawn for every training example; all are off by default.

    The warp applies the flips, then zoom and rotation about the image's centre, then the shift, then the elastic
    deformation.

    Attributes:
      horizontal_flip: probability of swapping left and right.
      vertical_flip: probability of swapping top and bottom.
      quarter_turns: whether to turn by 0, 90, 180 or 270 degrees with equal probability; by 0 or 180 if the image is
        not square.
      shift: largest shift, as a share of the image's height and width; each is drawn uniformly.
      rotation: largest rotation to either side in degrees, drawn uniformly.
      zoom: limit of the magnification: its factor lies between 1 / (1 + zoom) and 1 + zoom, its logarithm is drawn
        uniformly.
      border: content of the area that enters from outside the image: black, or the nearest pixel of the edge. Masks get
        -1 (ignored) there.
      brightness: largest value that is added to or subtracted from an image in [0, 1], drawn uniformly.
      contrast: limit of the contrast: distances from the image's mean are multiplied by a factor in 1 - contrast ..
        1 + contrast, drawn uniformly; the result is clipped to [0, 1].
      saturation: limit of the saturation: distances of a pixel's red, green and blue from its grey (ITU-R BT.601) are
        multiplied by a factor in 1 - saturation .. 1 + saturation, drawn uniformly; images without three channels stay
        the same.
      min_visible: smallest share of a box that must stay in the image; a box with less is dropped.
      elastic: strength of the smooth deformation: standard deviation in pixels of the displacements at the points of a
        3x3 grid.
    """

    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    quarter_turns: bool = False
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    border: Literal["black", "edge"] = "black"
    brightness: float = 0.0
    contrast: float = 0.0
    min_visible: float = 0.1
    elastic: float = 0.0
    saturation: float = 0.0

    def __post_init__(self):
        for name, transform in TRANSFORMS.items():
            value = getattr(self, name)
            if not 0 <= value <= transform.limit:
                raise ValueError(f"{name} must lie in 0..{transform.limit} {transform.unit}, found {value}")
        if self.border not in ("black", "edge"):
            raise ValueError(f"border must be black or edge, found {self.border!r}")

    @property
    def moves(self) -> tuple[str, ...]:
        """Returns the names of the active transforms that move pixels."""
        return tuple(
            name for name, transform in TRANSFORMS.items() if transform.move is not None and getattr(self, name)
        )

    @property
    def recolours(self) -> tuple[str, ...]:
        """Returns the names of the active transforms that change colours."""
        return tuple(
            name for name, transform in TRANSFORMS.items() if transform.recolour is not None and getattr(self, name)
        )


def augment(batch: Batch | jax.Array, key: jax.Array, augmentation: Augmentation) -> dict[str, jax.Array] | jax.Array:
    """Changes every example of a batch at random, each by its own draws; image, mask and boxes move together.

    Args:
      batch: `image` `[B, H, W, C]`, uint8 or floating point in [0, 1]; optionally `mask` `[B, H, W]`,
        `boxes` `[B, N, 4]` with `classes` `[B, N]`, and `instances` `[B, H, W]`, for each pixel the index of its object
        among the boxes. `label`, `labels` and `weight` stay the same. Or the images alone.
      key: random key of this batch; the same key draws the same changes.
      augmentation: the changes to draw.

    Returns:
      The batch with float32 images in [0, 1], or the images alone. A box becomes the tight box of its warped inscribed
      ellipse, or of its warped object if `instances` has pixels of it. Boxes out of sight become padding.

    Raises:
      ValueError: the augmentation moves pixels, but the batch holds a column that cannot move with them, such as
        `target`, or it holds boxes and the deformation is elastic.

    >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "mask": jnp.zeros((2, 4, 4), jnp.int32)}
    >>> augment(batch, jax.random.key(0), Augmentation(rotation=30, shift=0.1))["mask"].shape
    (2, 4, 4)
    """
    if not isinstance(batch, Mapping):
        return augment({"image": batch}, key, augmentation)["image"]
    check_columns(batch, augmentation)
    images = batch["image"]
    out = dict(batch)
    if augmentation.moves:
        out |= _warp_columns(batch, *_draw_warp(key, len(images), images.shape[1:3], augmentation), augmentation)
    out["image"] = as_float(out["image"])
    if augmentation.recolours:
        mean = as_float(images).mean((1, 2, 3), keepdims=True)  # of each image before the warp
        for name in augmentation.recolours:
            recolour = TRANSFORMS[name].recolour
            out["image"] = recolour(key, out["image"], mean, getattr(augmentation, name))
        out["image"] = jnp.clip(out["image"], 0, 1)
    return out


def check_augmentation(spec: InputSpec, augmentation: Augmentation) -> None:
    """Raises `ValueError` if the augmentation is for pixels, but the data holds signals; they may only be reversed."""
    pixels = sorted({*augmentation.moves, *augmentation.recolours} - {"horizontal_flip"})
    if spec.values == "signal" and pixels:
        flags = ", ".join(f"--training.augmentation.{name.replace('_', '-')}" for name in pixels)
        raise ValueError(f"augmentation of signals can only reverse time (horizontal-flip); leave {flags} out")


def check_columns(batch: Batch, augmentation: Augmentation) -> None:
    """Raises `ValueError` if the augmentation moves pixels, but a column of the batch cannot move with them."""
    fixed = sorted(set(batch) - follows("pixels", "nearest", "smooth", "boxes", "still"))
    if augmentation.elastic and "boxes" in batch:
        raise ValueError(
            "elastic deformation bends boxes, which stay straight; leave --training.augmentation.elastic out"
        )
    if augmentation.moves and fixed:
        flags = ", ".join(f"--training.augmentation.{name.replace('_', '-')}" for name in augmentation.moves)
        raise ValueError(f"augmentation cannot move {', '.join(fixed)} with the images; leave {flags} out")


def _draw_warp(
    key: jax.Array, n: int, size: tuple[int, int], augmentation: Augmentation
) -> tuple[jax.Array, jax.Array | None]:
    """Draws a matrix `[n, 2, 3]`, one per example, and a displacement `[n, H, W, 2]`, or None without deformation.

    Together they are a single warp, so that pixels are interpolated only once.
    """
    parts: dict[str, jax.Array] = {}
    for name in augmentation.moves:
        for part, value in TRANSFORMS[name].move(key, n, size, getattr(augmentation, name)).items():
            parts[part] = parts[part] + value if part in parts else value
    bend = parts.pop("displacement", None)
    return jnp.broadcast_to(warp.affine(size, **parts), (n, 2, 3)), bend


def _warp_columns(
    batch: Batch, matrix: jax.Array, bend: jax.Array | None, augmentation: Augmentation
) -> dict[str, jax.Array]:
    """Warps the columns that move with the pixels."""
    fill = 0.0 if augmentation.border == "black" else "edge"
    out = {"image": warp.warp_images(batch["image"], matrix, fill=fill, displacement=bend)}
    for name in follows("nearest") & set(batch):
        out[name] = warp.warp_masks(batch[name], matrix, displacement=bend)
    for name in follows("smooth") & set(batch):
        out[name] = warp.warp_images(batch[name][..., None], matrix, fill="edge", displacement=bend)[..., 0]
    if "boxes" not in batch:
        return out
    size, n = batch["image"].shape[1:3], batch["boxes"].shape[1]
    visible = augmentation.min_visible
    boxes, classes = warp.warp_boxes(batch["boxes"], batch["classes"], matrix, size, min_visible=visible)
    if "instances" in batch:
        _, has_pixels = warp.instance_boxes(batch["instances"], n)
        tight, stays_visible = warp.instance_boxes(out["instances"], n)
        classes = jnp.where(has_pixels & ~stays_visible, -1, classes)
        boxes = jnp.where((has_pixels & (classes >= 0))[..., None], tight, boxes)
        boxes = jnp.where((classes >= 0)[..., None], boxes, 0)
    return out | {"boxes": boxes, "classes": classes}


class Transform(NamedTuple):
    """One field of `Augmentation`: its range and its effect.

    A field with neither `move` nor `recolour` is an option of the other transforms.

    Attributes:
      limit: largest value; the smallest is 0, which turns the transform off.
      unit: unit of the limit, for messages.
      move: function from `(key, n, (height, width), value)` to options of `warp.affine`, each with one entry `[n]` per
        example, or to `displacement` `[n, H, W, 2]` in pixels. Options of the same name from several transforms are
        added.
      recolour: function from `(key, images, mean, value)` to images. The images lie in [0, 1] before all recolouring
        and are clipped to it afterwards. `mean` `[B, 1, 1, 1]` is the mean of each image before the warp.
    """

    limit: float
    unit: str
    move: Callable[[jax.Array, int, tuple[int, int], Any], dict[str, jax.Array]] | None = None
    recolour: Callable[[jax.Array, jax.Array, jax.Array, float], jax.Array] | None = None


def drawn(key: jax.Array, n: int, number: int) -> jax.Array:
    """Returns n uniform numbers in -1..1 for one transform; another `number` gives independent ones."""
    return jax.random.uniform(jax.random.fold_in(key, number), (n,), minval=-1, maxval=1)


def _shared(key: jax.Array, n: int, *columns: int) -> list[jax.Array]:
    """Returns columns of the nine random numbers per example that the older transforms share.

    A new transform calls `drawn` instead, with a `number` of 3 or more.
    """
    block = jax.random.uniform(key, (n, 9), minval=-1, maxval=1)
    return [block[:, column] for column in columns]


def _horizontal_flip(key: jax.Array, n: int, size: tuple[int, int], probability: float) -> dict[str, jax.Array]:
    (draw,) = _shared(key, n, 0)
    return {"horizontal_flip": draw < 2 * probability - 1}


def _vertical_flip(key: jax.Array, n: int, size: tuple[int, int], probability: float) -> dict[str, jax.Array]:
    (draw,) = _shared(key, n, 1)
    return {"vertical_flip": draw < 2 * probability - 1}


def _quarter_turns(key: jax.Array, n: int, size: tuple[int, int], on: bool) -> dict[str, jax.Array]:
    (draw,) = _shared(key, n, 2)
    turns = jnp.floor(2 * (draw + 1)) if size[0] == size[1] else 2 * jnp.floor(draw + 1)
    return {"rotation": 90 * turns}


def _shift(key: jax.Array, n: int, size: tuple[int, int], share: float) -> dict[str, jax.Array]:
    right, down = _shared(key, n, 3, 4)
    return {"shift": share * jnp.stack([size[1] * right, size[0] * down], -1)}


def _rotation(key: jax.Array, n: int, size: tuple[int, int], degrees: float) -> dict[str, jax.Array]:
    (draw,) = _shared(key, n, 5)
    return {"rotation": degrees * draw}


def _zoom(key: jax.Array, n: int, size: tuple[int, int], zoom: float) -> dict[str, jax.Array]:
    (draw,) = _shared(key, n, 6)
    return {"zoom": (1 + zoom) ** draw}


def _elastic(key: jax.Array, n: int, size: tuple[int, int], pixels: float) -> dict[str, jax.Array]:
    return {"displacement": pixels * warp.elastic_displacement(jax.random.fold_in(key, 1), n, size)}


def _saturation(key: jax.Array, x: jax.Array, mean: jax.Array, saturation: float) -> jax.Array:
    if x.shape[-1] != 3:
        return x
    grey = (x * _GREY).sum(-1, keepdims=True)
    return grey + (x - grey) * (1 + saturation * drawn(key, len(x), 2)[:, None, None, None])


def _contrast(key: jax.Array, x: jax.Array, mean: jax.Array, contrast: float) -> jax.Array:
    (draw,) = _shared(key, len(x), 8)
    return (x - mean) * (1 + contrast * draw[:, None, None, None]) + mean


def _brightness(key: jax.Array, x: jax.Array, mean: jax.Array, brightness: float) -> jax.Array:
    (draw,) = _shared(key, len(x), 7)
    return x + brightness * draw[:, None, None, None]


_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue, ITU-R BT.601

TRANSFORMS: dict[str, Transform] = {
    "horizontal_flip": Transform(1, "as a probability", move=_horizontal_flip),
    "vertical_flip": Transform(1, "as a probability", move=_vertical_flip),
    "quarter_turns": Transform(1, "(on or off)", move=_quarter_turns),
    "shift": Transform(0.5, "of the image", move=_shift),
    "rotation": Transform(180, "degrees", move=_rotation),
    "zoom": Transform(4, "(1 is up to twice as large)", move=_zoom),
    "elastic": Transform(100, "pixels", move=_elastic),
    "saturation": Transform(1, "of the image's own saturation", recolour=_saturation),
    "contrast": Transform(1, "of the image's own contrast", recolour=_contrast),
    "brightness": Transform(1, "of the range of an image", recolour=_brightness),
    "min_visible": Transform(1, "of a box"),
}
"""The transforms by field of `Augmentation`; colours change in this order. A new transform needs a field, a function
and an entry here. All transforms that move pixels share one warp."""
