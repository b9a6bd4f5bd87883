"""The specification of a network's input (size, channels, normalisation) and the names of its outputs."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation of RGB in [0, 1] that pretrained networks expect."""


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The input of a network and the names of its outputs; hashable, stored with every checkpoint.

    Attributes:
      size: height and width in pixels.
      channels: 1 for grey, 3 for RGB.
      mean: value subtracted from images in [0, 1]: one number, or one per channel.
      std: value by which images are divided after the subtraction: one number, or one per channel.
      classes: names of the classes (for regression: of the targets), in the order of the network's outputs.
      fit: how a photo of another shape is brought to `size`: `stretch`; `letterbox`, which scales the whole photo to
        fit and pads it with grey; or `strip`, which scales it to the height and pads it on the right with its border's
        colour.
      resized: whether images with masks were resized for training. If so, the scale of a sheet's pixels is not known.
      values: what the numbers are: `pixels`, which lie in [0, 1] before normalisation, or samples of a `signal`, in a
        unit of their own. A signal `[T, C]` is an image of height 1, so its size is `(1, T)`.
      rate: samples of a signal per second; None if unknown.
      decoding: how a JPEG is decoded that is much larger than `size`: `exact` or `fast`, see
        `cnnlab.files.images.read_pixels`. Training and prediction decode alike.
    """

    size: tuple[int, int]
    channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    classes: tuple[str, ...] = ()
    fit: Literal["stretch", "letterbox", "strip"] = "stretch"
    resized: bool = False
    values: Literal["pixels", "signal"] = "pixels"
    rate: float | None = None
    decoding: Literal["fast", "exact"] = "exact"

    def __post_init__(self):
        if isinstance(self.size, int):
            raise ValueError(f"size must be (height, width) in pixels, found {self.size}")
        for name in ("size", "mean", "std", "classes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size must be (height, width) in pixels, found {self.size}")
        if self.channels < 1:
            raise ValueError(f"channels must be 1 or more, found {self.channels}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ValueError(f"{name} must hold 1 or {self.channels} numbers, found {getattr(self, name)}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, found {self.std}")
        if self.values not in ("pixels", "signal"):
            raise ValueError(f"values must be pixels or signal, found {self.values!r}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be a positive number of samples per second, or None, found {self.rate}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns `(height, width, channels)`."""
        return (*self.size, self.channels)

    @property
    def layout(self) -> dict[str, Any]:
        """Returns the options for reading a photo by `files.images.read_pixels`: `size`, `channels`, `fit`, `decoding`.

        Raises:
          ValueError: the network takes signals.
        """
        if self.values == "signal":
            raise ValueError("the network takes signals, and this reads images; cnnlab.data.read_signals reads signals")
        return {"size": self.size, "channels": self.channels, "fit": self.fit, "decoding": self.decoding}


def as_float(images: jax.Array) -> jax.Array:
    """Converts images to float32: uint8 0..255 becomes [0, 1]; floating-point values stay the same."""
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be uint8 (0..255) or floating point ([0, 1]), found {images.dtype}")
    return images.astype(jnp.float32)


def normalise(images: jax.Array, spec: InputSpec) -> jax.Array:
    """Computes `(image - mean) / std` for images in [0, 1].

    Args:
      images: `[B, H, W, C]`, uint8, or floating point in [0, 1].
      spec: input specification with the `mean` and `std` to use.

    >>> import numpy as np
    >>> spec = InputSpec(size=(1, 1), mean=(0.5,), std=(0.25,))
    >>> float(normalise(np.full((1, 1, 1, 1), 255, np.uint8), spec)[0, 0, 0, 0])
    2.0
    """
    return standardise(as_float(images), spec)


def standardise(images: jax.Array, spec: InputSpec) -> jax.Array:
    """Computes `(image - mean) / std` for float32 images in [0, 1]."""
    return (images - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)


def check_images(images, spec: InputSpec, *, any_size: bool = False, any_width: bool = False) -> None:
    """Raises `ValueError` unless images are `[B, H, W, C]` as `spec` requires.

    `any_size` lets H and W be free, `any_width` only W.
    """
    shape = tuple(images.shape)
    height, width = "H" if any_size else spec.size[0], "W" if any_size or any_width else spec.size[1]
    expected = ("B", height, width, spec.channels)
    fits = len(shape) == 4 and all(not isinstance(w, int) or w == n for w, n in zip(expected, shape, strict=True))
    if not fits:
        raise ValueError(
            f"images must be [{', '.join(map(str, expected))}] for this network, found {list(shape)}; "
            "resize them, convert their channels, or add the batch axis"
        )
    if shape[0] == 0:
        raise ValueError("images hold no example (B = 0)")
    if spec.values == "signal":
        _check_samples(images)
        return
    normalised = spec.mean != (0.0,) or spec.std != (1.0,)
    if normalised and isinstance(images, np.ndarray) and images.dtype.kind == "f" and not 0 <= images.max() <= 1:
        raise ValueError(
            f"floating-point images must lie in [0, 1], found a maximum of {images.max():g}; divide by 255"
        )


def _check_samples(signals) -> None:
    """Raises `ValueError` unless the samples of signals are floating point and, where they are known, finite."""
    if not jnp.issubdtype(signals.dtype, jnp.floating):
        raise ValueError(f"signals must be floating point, found {signals.dtype}; convert them by astype(np.float32)")
    if isinstance(signals, np.ndarray) and not np.isfinite(signals).all():
        raise ValueError("signals must be finite, found NaN or infinity; fill gaps by cnnlab.data.fill_gaps")
