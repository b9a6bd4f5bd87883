"""What the images of a split look like, in a few numbers with which other photos are compared."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnlab.data.dataset import Dataset, Examples
from cnnlab.files import strict_json

SAMPLE = 200  # images of a split that are measured
FAR = 4.0  # standard deviations from the mean
SHARE = 0.05  # of the photos


class _Kind(NamedTuple):
    """One of the numbers: its name in messages, and the smallest standard deviation that counts."""

    title: str
    least: float


KINDS: dict[str, _Kind] = {
    "brightness": _Kind("mean brightness", 8.0),
    "contrast": _Kind("contrast", 8.0),
    "colour": _Kind("colourfulness", 8.0),
    "shape": _Kind("width / height", 0.25),
    "size": _Kind("side in pixels", 0.5),
}
"""The numbers of an image: mean and standard deviation of its pixels and mean difference between its largest and
smallest channel (0 to 255); and of its file, before it is resized: width / height, and the square root of its area.
Shape and size are compared as logarithms to base 2, in which their smallest deviations are stated."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and range of a number over the images of a split."""

    mean: float
    std: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Appearance:
    """The spread of each number of `KINDS` over a split; None where it is not known.

    Attributes:
      images: number of images that were measured.
      brightness: mean of the pixels.
      contrast: standard deviation of the pixels.
      colour: mean difference between the largest and the smallest channel, for RGB.
      shape: base-2 logarithm of width / height of the photos.
      size: base-2 logarithm of the square root of the photos' area, if they are files.
    """

    images: int
    brightness: Spread
    contrast: Spread
    colour: Spread | None = None
    shape: Spread | None = None
    size: Spread | None = None

    def __post_init__(self):
        strict_json.check(self)


def measure(image: np.ndarray, photo_size: Sequence[int] | None = None) -> dict[str, float]:
    """Computes the numbers of an image.

    Args:
      image: `[H, W, C]`, uint8 or in [0, 1].
      photo_size: height and width of its file; None leaves out shape and size.

    >>> measure(np.full((2, 2, 1), 51, np.uint8), (10, 40))
    {'brightness': 51.0, 'contrast': 0.0, 'shape': 2.0, 'size': 4.321928094887363}
    """
    pixels = image.astype(np.float32) * (1 if image.dtype == np.uint8 else 255)
    out = {"brightness": float(pixels.mean()), "contrast": float(pixels.std())}
    if image.shape[-1] == 3:
        out["colour"] = float(np.ptp(pixels, axis=-1).mean())
    if photo_size is not None:
        height, width = map(float, photo_size)
        out |= {"shape": float(np.log2(width / height)), "size": float(np.log2(width * height) / 2)}
    return out


def measure_photo(pixels: np.ndarray, size: tuple[int, int], fit: str) -> dict[str, float]:
    """Computes the numbers of a photo as the network reads it, as those of the training images were computed.

    Args:
      pixels: `[H, W, C]`, the photo as the network reads it.
      size: height and width of the photo; its shape and size count only if it was resized.
      fit: `stretch`; or `letterbox` or `strip`, which keep the shape.
    """
    numbers = measure(pixels, size if tuple(size) != pixels.shape[:2] else None)
    return {name: value for name, value in numbers.items() if name != "shape" or fit == "stretch"}


def appearance(dataset: Dataset) -> Appearance:
    """Measures up to 200 images of the training split, spread evenly."""
    numbers = measure_examples(dataset["train"])
    spreads = {name: _spread([each[name] for each in numbers]) for name in numbers[0]}
    if dataset.photo_sizes is not None:
        sizes = [measure(np.zeros((1, 1, 1)), size) for size in dataset.photo_sizes]
        spreads |= {name: _spread([each[name] for each in sizes]) for name in ("shape", "size")}
    elif "shape" not in spreads:  # arrays, whose images are the photos
        height, width = dataset.spec.size
        spreads["shape"] = _spread([float(np.log2(width / height))])
    return Appearance(len(numbers), **spreads)


def measure_examples(examples: Examples) -> list[dict[str, float]]:
    """Computes the numbers of up to 200 images of a split, spread evenly."""
    out = []
    for place in np.linspace(0, len(examples) - 1, min(len(examples), SAMPLE)).astype(int):
        row = examples[np.array([place])]
        out.append(measure(row["image"][0], row["photo_size"][0] if "photo_size" in row else None))
    return out


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values)), min(values), max(values))


def far_outside(usual: Appearance, numbers: Sequence[Mapping[str, float]], names: Sequence[str] = ()) -> str | None:
    """Returns a sentence if photos look very different from the training images, otherwise None.

    A photo lies far outside if one of its numbers is more than 4 standard deviations away from the training mean, and
    more than one outside the training range. The sentence is returned if this holds for 1 photo in 20 or more.

    Args:
      usual: appearance of the training split.
      numbers: result of `measure` for each photo.
      names: name of each photo; the sentence names the first one that lies outside.

    >>> usual = Appearance(200, Spread(33.0, 12.0, 8.0, 90.0), Spread(77.0, 9.0, 50.0, 95.0))
    >>> far_outside(usual, [{"brightness": 221.0, "contrast": 80.0}])
    'the photo lies far outside the training images: mean brightness 221, training 33 ± 12; inverted?'
    """
    beyond = [[name for name in each if _is_far(getattr(usual, name, None), each[name], name)] for each in numbers]
    outside = [place for place, kinds in enumerate(beyond) if kinds]
    if not outside or len(outside) < SHARE * len(numbers):
        return None
    subject = "the photo lies"
    if len(numbers) > 1:
        first = f" (the first is {names[outside[0]]})" if names else ""
        subject = f"{len(outside):,} of {len(numbers):,} photos{first} {'lies' if len(outside) == 1 else 'lie'}"
    counts = Counter(name for kinds in beyond for name in kinds)
    parts = []
    for name, _ in counts.most_common():
        typical = float(np.median([numbers[place][name] for place in outside if name in beyond[place]]))
        parts.append(f"{KINDS[name].title} {_comparison(getattr(usual, name), typical, name)}")
    bright = [numbers[place]["brightness"] for place in outside]
    inverted = "brightness" in counts and not _is_far(usual.brightness, 255 - float(np.median(bright)), "brightness")
    hint = "; inverted?" if inverted and "colour" not in counts else ""
    return f"{subject} far outside the training images: {'; '.join(parts)}{hint}"


def _is_far(spread: Spread | None, value: float, name: str) -> bool:
    if spread is None:
        return False
    std = max(spread.std, KINDS[name].least)
    return abs(value - spread.mean) > FAR * std and not spread.low - std <= value <= spread.high + std


def _comparison(spread: Spread, value: float, name: str) -> str:
    """Returns a value beside the training's: `221, training 33 ± 12`, or `6, training 0.8 to 1.3` for logarithms."""
    if name not in ("shape", "size"):
        return f"{value:.0f}, training {spread.mean:.0f} ± {spread.std:.0f}"
    digits = 2 if name == "shape" else 0
    own, low, high = (f"{2**x:.{digits}f}" for x in (value, spread.low, spread.high))
    return f"{own}, training {low}" + ("" if low == high else f" to {high}")
