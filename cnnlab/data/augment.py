"""Augmentation on the device, inside the compiled step: one affine warp an example, then its colours."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data.columns import follows
from cnnlab.data.spec import as_float
from cnnlab.geometry import warp

Batch = Mapping[str, jax.Array]


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
        for name, transform in TRANSFORMS.items():
            value = getattr(self, name)
            if not 0 <= value <= transform.limit:
                raise ValueError(f"{name} must lie in 0..{transform.limit} {transform.unit}, found {value}")
        if self.border not in ("black", "edge"):
            raise ValueError(f"border must be black or edge, found {self.border!r}")

    @property
    def moves(self) -> tuple[str, ...]:
        """The names of what is on and moves pixels."""
        return tuple(name for name, one in TRANSFORMS.items() if one.move is not None and getattr(self, name))

    @property
    def recolours(self) -> tuple[str, ...]:
        """The names of what is on and changes colours."""
        return tuple(name for name, one in TRANSFORMS.items() if one.recolour is not None and getattr(self, name))


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
    out = dict(batch)
    if augmentation.moves:
        out |= _moved(batch, *_warp_of(key, len(images), images.shape[1:3], augmentation), augmentation)
    out["image"] = as_float(out["image"])
    if augmentation.recolours:
        mean = as_float(images).mean((1, 2, 3), keepdims=True)  # of each image before it moved
        for name in augmentation.recolours:
            recolour = TRANSFORMS[name].recolour
            out["image"] = recolour(key, out["image"], mean, getattr(augmentation, name))
        out["image"] = jnp.clip(out["image"], 0, 1)
    return out


def check_columns(batch: Batch, augmentation: Augmentation) -> None:
    """Raises `ValueError` where pixels are to move but not everything in the batch can follow."""
    left = sorted(set(batch) - follows("pixels", "nearest", "smooth", "boxes", "still"))
    if augmentation.elastic and "boxes" in batch:
        raise ValueError(
            "elastic deformation bends boxes, which stay straight; leave --training.augmentation.elastic out"
        )
    if augmentation.moves and left:
        flags = ", ".join(f"--training.augmentation.{name.replace('_', '-')}" for name in augmentation.moves)
        raise ValueError(f"augmentation cannot move {', '.join(left)} with the images; leave {flags} out")


def _warp_of(
    key: jax.Array, n: int, size: tuple[int, int], augmentation: Augmentation
) -> tuple[jax.Array, jax.Array | None]:
    """One matrix `[n, 2, 3]` an example and, where something bends, a displacement `[n, H, W, 2]`: one warp for all."""
    parts: dict[str, jax.Array] = {}
    for name in augmentation.moves:
        for part, value in TRANSFORMS[name].move(key, n, size, getattr(augmentation, name)).items():
            parts[part] = parts[part] + value if part in parts else value
    bend = parts.pop("displacement", None)
    return jnp.broadcast_to(warp.affine(size, **parts), (n, 2, 3)), bend


def _moved(batch: Batch, matrix: jax.Array, bend: jax.Array | None, augmentation: Augmentation) -> dict[str, jax.Array]:
    """The columns that move, warped."""
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
        _, drawn = warp.instance_boxes(batch["instances"], n)
        tight, seen = warp.instance_boxes(out["instances"], n)
        classes = jnp.where(drawn & ~seen, -1, classes)
        boxes = jnp.where((drawn & (classes >= 0))[..., None], tight, boxes)
        boxes = jnp.where((classes >= 0)[..., None], boxes, 0)
    return out | {"boxes": boxes, "classes": classes}


class Transform(NamedTuple):
    """One field of `Augmentation`: what it may be, and what it does.

    A field that does neither is a setting of the others.

    Attributes:
      limit: the largest value; 0 is the smallest, and off.
      unit: of the limit, for messages.
      move: `(key, n, (height, width), value)` to options of `warp.affine`, one entry `[n]` an example, or to
        `displacement` `[n, H, W, 2]` in pixels. Equal options of several transforms are added.
      recolour: `(key, images, mean, value)` to images; in [0, 1] before, clipped to it afterwards. `mean`
        `[B, 1, 1, 1]` is that of each image before it moved.
    """

    limit: float
    unit: str
    move: Callable[[jax.Array, int, tuple[int, int], Any], dict[str, jax.Array]] | None = None
    recolour: Callable[[jax.Array, jax.Array, jax.Array, float], jax.Array] | None = None


def drawn(key: jax.Array, n: int, number: int) -> jax.Array:
    """Returns n numbers, uniform in -1..1, of a transform's own: another `number` gives independent ones."""
    return jax.random.uniform(jax.random.fold_in(key, number), (n,), minval=-1, maxval=1)


def _shared(key: jax.Array, n: int, *columns: int) -> list[jax.Array]:
    """Columns of nine numbers an example that older transforms share; a new one takes `drawn`, its number 3 or more."""
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


_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601

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
"""One entry a field of `Augmentation`, colours in the order in which they change. A new transform is a field, its
function and a line here; all that move pixels share one warp."""
