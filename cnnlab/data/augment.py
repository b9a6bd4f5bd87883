"""Augmentation on the device, inside the compiled step: one affine warp an example, then its colours."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data.dataset import EVALUATION_ONLY
from cnnlab.data.spec import as_float
from cnnlab.ops import warp

Batch = Mapping[str, jax.Array]

_UNMOVED = frozenset({"label", "labels", "weight", "learnt", *EVALUATION_ONLY})
_MOVED = frozenset({"image", "mask", "boxes", "classes", "instances", "pixel_weight"})
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601
_RANGES = {
    "horizontal_flip": (1, "as a probability"),
    "vertical_flip": (1, "as a probability"),
    "shift": (0.5, "of the image"),
    "rotation": (180, "degrees"),
    "zoom": (4, "(1 is up to twice as large)"),
    "elastic": (100, "pixels"),
    "brightness": (1, "of the range of an image"),
    "contrast": (1, "of the image's own contrast"),
    "saturation": (1, "of the image's own saturation"),
    "min_visible": (1, "of a box"),
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for every training example; all of it is off unless set.

    The warp is the flips, then zoom and rotation about the image's centre, then the shift, then the elastic
    deformation.

    Attributes:
      horizontal_flip: the probability that left and right change places.
      vertical_flip: the probability that top and bottom change places.
      quarter_turns: turn by 0, 90, 180 or 270 degrees, each as likely; by 0 or 180 where the image is not square.
      shift: the image moves by up to this share of its height and width, each drawn uniformly.
      rotation: by up to so many degrees to either side, drawn uniformly.
      zoom: magnified by a factor between 1 / (1 + zoom) and 1 + zoom, its logarithm drawn uniformly.
      border: what enters from outside: black, or the nearest pixel of the edge. Masks get -1 (ignore) there.
      brightness: up to this much is added to or taken from an image in [0, 1], drawn uniformly.
      contrast: distances from the image's mean are multiplied by a factor in 1 - contrast .. 1 + contrast, drawn
        uniformly; the result is clipped to [0, 1].
      saturation: distances of a pixel's red, green and blue from its grey (ITU-R BT.601) are multiplied by a factor in
        1 - saturation .. 1 + saturation, drawn uniformly; images of other than three channels keep theirs.
      min_visible: a box of which less than this share stays in the image is dropped.
      elastic: every pixel is displaced, smoothly, by so many pixels (standard deviation at the points of a 3x3 grid).
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
        for name, (limit, unit) in _RANGES.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ValueError(f"{name} must lie in 0..{limit} {unit}, found {value}")
        if self.border not in ("black", "edge"):
            raise ValueError(f"border must be black or edge, found {self.border!r}")

    @property
    def moves(self) -> tuple[str, ...]:
        """The names of what is on and moves pixels."""
        names = ("horizontal_flip", "vertical_flip", "quarter_turns", "shift", "rotation", "zoom", "elastic")
        return tuple(name for name in names if getattr(self, name))

    @property
    def recolours(self) -> bool:
        """Whether brightness, contrast or saturation is on."""
        return bool(self.brightness or self.contrast or self.saturation)


def augment(batch: Batch | jax.Array, key: jax.Array, augmentation: Augmentation) -> dict[str, jax.Array] | jax.Array:
    """A batch with every example changed by draws of its own; image, mask and boxes move together.

    Args:
      batch: `image` `[B, H, W, C]`, uint8 or floating point in [0, 1]; where there are any `mask` `[B, H, W]`,
        `boxes` `[B, N, 4]` with `classes` `[B, N]`, and `instances` `[B, H, W]`, the place among the boxes of the
        object at every pixel. `label`, `labels` and `weight` stay as they are. Or images alone.
      key: of this batch; the same key draws the same changes.
      augmentation: what is drawn.

    Returns:
      The batch with images in float32, [0, 1], or the images alone. Boxes are the tight boxes of the warped inscribed
      ellipses, or of the warped object in `instances` where it has pixels there; those out of sight become padding.

    Raises:
      ValueError: pixels are to move, but the batch holds a column that cannot move with them, such as `target`, or
        boxes with an elastic deformation.

    >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "mask": jnp.zeros((2, 4, 4), jnp.int32)}
    >>> augment(batch, jax.random.key(0), Augmentation(rotation=30, shift=0.1))["mask"].shape
    (2, 4, 4)
    """
    if not isinstance(batch, Mapping):
        return augment({"image": batch}, key, augmentation)["image"]
    check_columns(batch, augmentation)
    images = batch["image"]
    draws = jax.random.uniform(key, (len(images), 9), minval=-1, maxval=1)
    out = dict(batch)
    if augmentation.moves:
        bend = None
        if augmentation.elastic:
            drawn = warp.elastic_displacement(jax.random.fold_in(key, 1), len(images), images.shape[1:3])
            bend = augmentation.elastic * drawn
        out |= _moved(batch, _matrices(draws, images.shape[1:3], augmentation), bend, augmentation)
    out["image"] = as_float(out["image"])
    if augmentation.recolours:
        colour = jax.random.uniform(jax.random.fold_in(key, 2), (len(images),), minval=-1, maxval=1)
        draws = jnp.concatenate([draws[:, 7:], colour[:, None]], 1)
        out["image"] = _recoloured(out["image"], as_float(images).mean((1, 2, 3)), draws, augmentation)
    return out


def check_columns(batch: Batch, augmentation: Augmentation) -> None:
    """Raises `ValueError` where pixels are to move but not everything in the batch can follow."""
    left = sorted(set(batch) - _MOVED - _UNMOVED)
    if augmentation.elastic and "boxes" in batch:
        raise ValueError(
            "elastic deformation bends boxes, which stay straight; leave --training.augmentation.elastic out"
        )
    if augmentation.moves and left:
        flags = ", ".join(f"--training.augmentation.{name.replace('_', '-')}" for name in augmentation.moves)
        raise ValueError(f"augmentation cannot move {', '.join(left)} with the images; leave {flags} out")


def _matrices(draws: jax.Array, size: tuple[int, int], augmentation: Augmentation) -> jax.Array:
    """One matrix `[B, 2, 3]` an example from numbers `[B, 9]` in -1..1."""
    horizontal, vertical, turn, right, down, angle, zoom = draws.T[:7]
    turns = jnp.floor(2 * (turn + 1)) if size[0] == size[1] else 2 * jnp.floor(turn + 1)
    return warp.affine(
        size,
        horizontal_flip=horizontal < 2 * augmentation.horizontal_flip - 1,
        vertical_flip=vertical < 2 * augmentation.vertical_flip - 1,
        zoom=(1 + augmentation.zoom) ** zoom,
        rotation=90 * turns * augmentation.quarter_turns + augmentation.rotation * angle,
        shift=augmentation.shift * jnp.stack([size[1] * right, size[0] * down], -1),
    )


def _recoloured(x: jax.Array, mean: jax.Array, draws: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Images in [0, 1] with other colours; the mean `[B]` is that of each before it moved, draws `[B, 3]` in -1..1."""
    mean, draws = mean[:, None, None, None], draws[..., None, None, None]
    if augmentation.saturation and x.shape[-1] == 3:
        grey = (x * _GREY).sum(-1, keepdims=True)
        x = grey + (x - grey) * (1 + augmentation.saturation * draws[:, 2])
    x = (x - mean) * (1 + augmentation.contrast * draws[:, 1]) + mean
    return jnp.clip(x + augmentation.brightness * draws[:, 0], 0, 1)


def _moved(batch: Batch, matrix: jax.Array, bend: jax.Array | None, augmentation: Augmentation) -> dict[str, jax.Array]:
    """The columns that move, warped."""
    fill = 0.0 if augmentation.border == "black" else "edge"
    out = {"image": warp.warp_images(batch["image"], matrix, fill=fill, displacement=bend)}
    for name in ("mask", "instances"):
        if name in batch:
            out[name] = warp.warp_masks(batch[name], matrix, displacement=bend)
    if "pixel_weight" in batch:
        weight = warp.warp_images(batch["pixel_weight"][..., None], matrix, fill="edge", displacement=bend)
        out["pixel_weight"] = weight[..., 0]
    if "boxes" not in batch:
        return out
    size, n = batch["image"].shape[1:3], batch["boxes"].shape[1]
    visible = augmentation.min_visible
    boxes, classes = warp.warp_boxes(batch["boxes"], batch["classes"], matrix, size, min_visible=visible)
    if "instances" in batch:
        _, drawn = warp.instance_boxes(batch["instances"], n)
        tight, seen = warp.instance_boxes(out["instances"], n)
        classes = jnp.where(drawn & ~seen, -1, classes)
        boxes = jnp.where((drawn & (classes >= 0))[..., None], tight, boxes)
        boxes = jnp.where((classes >= 0)[..., None], boxes, 0)
    return out | {"boxes": boxes, "classes": classes}
