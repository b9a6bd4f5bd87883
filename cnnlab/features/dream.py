"""DeepDream: changes a photo so that it shows more of what a layer, a class or any other target sees in it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from cnnlab.console import console, progress_bar
from cnnlab.data.spec import as_float, standardise
from cnnlab.explain.taps import find_layer
from cnnlab.explain.targets import Target
from cnnlab.features.image_statistics import frequencies, natural_statistics
from cnnlab.features.objectives import check_shape, choose_targets, layer_energy, values_of
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

_TILE = 256  # side of a tile for networks of any size
_COARSE = 1 / 16  # cycles a pixel; coarser structure counts like this, or a step would change brightness only
_SHIFTS = 8  # a tile's side divided by the smallest range of its random shift


def dream(
    trained: Trained,
    image: np.ndarray,
    *,
    layer: str | None = None,
    target: Any = None,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    step_size: float = 0.01,
    tile: int | tuple[int, int] | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> np.ndarray:
    """Enlarges what a network sees in a photo, by gradient ascent on the mean square of a layer or on a target.

    It begins with a small copy of the photo and ends with its own size. After each size, the details that were lost by
    the reduction return. The gradient is computed tile by tile at random shifts, so memory does not grow with the
    photo, and no seam stays at one place.

    Source: Mordvintsev, Olah and Tyka, Inceptionism: Going Deeper into Neural Networks, 2015.

    Args:
      trained: the network.
      image: photo `[H, W, C]` of any size, uint8 or floating point in [0, 1], with the network's channels.
      layer: name of the layer whose mean square grows; by default the last one with spatial axes.
      target: objective in place of a layer: a class, a target of `cnnlab.explain.targets` such as one unit, a function
        of the logits, or a list of these, which are added.
      octaves: number of sizes.
      octave_scale: ratio of one size to the one before.
      steps: steps at each size.
      step_size: mean absolute change of a value in [0, 1] in a step.
      tile: side or height and width of a tile in pixels; by default the size of the training images, or 256 for a
        network that predicts each pixel. A photo smaller than a tile is continued by its mirror image.
      seed: seed of the shifts.
      quiet: whether to show no progress.

    Returns:
      The changed photo, `[H, W, C]` float32 in [0, 1].

    Raises:
      ValueError: the photo's channels do not fit, there is no such layer or class, the network does not take images of
        the tile's size, an argument is out of range, or the photo does not change the target at all.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> photo = np.linspace(0, 1, 40 * 30, dtype=np.float32).reshape(40, 30, 1)
    >>> dream(trained, photo, layer="conv2", octaves=2, steps=2).shape
    (40, 30, 1)
    """
    photo = np.asarray(as_float(image))
    c = trained.spec.channels
    if photo.ndim != 3 or photo.shape[-1] != c or not photo.size:
        raise ValueError(f"image must be a photo [H, W, {c}] for this network, found {list(photo.shape)}")
    limits = {
        "octaves": (octaves, 1),
        "steps": (steps, 1),
        "octave_scale": (octave_scale, 1.01),
        "step_size": (step_size, 0),
    }
    for name, (value, least) in limits.items():
        if not value >= least or not math.isfinite(value):
            raise ValueError(f"{name} must be {least} or more, found {value}")
    tile = _tile(trained, tile)
    check_shape(trained, (*tile, c))
    if target is not None:
        if layer is not None:
            raise ValueError("target takes the place of layer; leave one of them out")
        targets = choose_targets(trained, target, (*tile, c))
    else:
        targets = (layer_energy(find_layer(trained, layer, (*tile, c))),)
    sizes = octave_sizes(photo.shape[:2], octaves, octave_scale)
    rng, change = np.random.default_rng(seed), np.zeros((*sizes[0], c), np.float32)
    total = steps * sum(math.prod(tile_counts(size, tile)) for size in sizes)
    moved, finished = False, 0
    with progress_bar(console(quiet), texts={"label": "tiles"}, total=total) as update:
        for size in sizes:
            base = _resize(photo, size)
            change = _resize(change, size)
            for _ in range(steps):
                gradient = np.empty_like(base)
                for place, part in _gradients(trained, targets, np.clip(base + change, 0, 1), tile, rng):
                    gradient[place] = part
                    finished += 1
                    update(completed=finished)
                moved = moved or gradient.any()
                change = np.clip(base + change + step_size * _direction(gradient), 0, 1) - base
    if not moved:
        raise ValueError("the target does not depend on this photo (a dead unit or a saturated one); choose another")
    return np.clip(photo + change, 0, 1)


def octave_sizes(size: tuple[int, int], octaves: int, scale: float) -> list[tuple[int, int]]:
    """Returns height and width of each octave, the smallest first; sizes below one pixel are left out.

    >>> octave_sizes((140, 100), 3, 1.4)
    [(71, 51), (100, 71), (140, 100)]
    """
    sizes = [tuple(round(side / scale**i) for side in size) for i in reversed(range(octaves))]
    return [each for each in sizes if min(each) >= 1]


def tile_counts(size: tuple[int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Returns the number of tiles along height and width, which leave room for a random shift.

    >>> tile_counts((100, 300), (128, 128))
    (1, 3)
    """
    rows, columns = (-(-(side + extent // _SHIFTS) // extent) for side, extent in zip(size, tile, strict=True))
    return rows, columns


def _gradients(
    trained: Trained, targets: Sequence[Target], image: np.ndarray, tile: tuple[int, int], rng: np.random.Generator
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yields the place of each tile in an image `[H, W, C]`, and the gradient there.

    The tiles cover the image, continued by its mirror image, at a random shift.
    """
    counts = tile_counts(image.shape[:2], tile)
    slack = [n * extent - side for n, extent, side in zip(counts, tile, image.shape, strict=False)]
    before = [int(rng.integers(0, free + 1)) for free in slack]
    padding = [(first, free - first) for first, free in zip(before, slack, strict=True)]
    canvas = np.pad(image, [*padding, (0, 0)], mode="symmetric")
    for row in range(counts[0]):
        for column in range(counts[1]):
            corner = row * tile[0], column * tile[1]
            (top, bottom), (left, right) = (
                (max(start - first, 0), min(start + extent - first, side))
                for start, extent, first, side in zip(corner, tile, before, image.shape, strict=False)
            )
            if top >= bottom or left >= right:
                continue
            window = tuple(slice(start, start + extent) for start, extent in zip(corner, tile, strict=True))
            gradient = np.asarray(_gradient(trained, targets, canvas[window][None]))[0]
            y, x = top + before[0] - corner[0], left + before[1] - corner[1]
            yield (slice(top, bottom), slice(left, right)), gradient[y : y + bottom - top, x : x + right - left]


def _direction(gradient: np.ndarray) -> np.ndarray:
    """Returns the direction of a step, whose mean absolute value is 1, or 0 without a gradient.

    It is the direction of steepest ascent in decorrelated colours and frequencies: a change in the colours of photos
    and in coarse structure counts as shorter than one in other colours and fine structure.

    Source: Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017, section "Preconditioning and
    parameterization".
    """
    h, w, c = gradient.shape
    colours = np.asarray(natural_statistics((1, 1, c)).colours)
    smooth = 1 / np.maximum(frequencies(h, w), _COARSE)[:, : w // 2 + 1, None]
    spectrum = np.fft.rfft2(gradient @ (colours @ colours.T), axes=(0, 1))
    step = np.fft.irfft2(smooth * spectrum, (h, w), axes=(0, 1)).astype(np.float32)
    mean = np.abs(step).mean()
    return step / mean if mean > 0 else step


@jit
def _gradient(trained: Trained, targets: tuple[Target, ...], images: jax.Array) -> jax.Array:
    """Computes the gradient of the objective by images `[B, H, W, C]` in [0, 1]."""
    return jax.grad(lambda images: values_of(trained, targets, standardise(images, trained.spec)).sum())(images)


def _tile(trained: Trained, tile: int | tuple[int, int] | None) -> tuple[int, int]:
    if tile is None:
        return (_TILE, _TILE) if trained.any_size else trained.spec.size
    sides = (tile, tile) if np.ndim(tile) == 0 else tuple(tile)
    if len(sides) != 2 or any(int(side) != side or side < 1 for side in sides):
        raise ValueError(f"tile must be a side in pixels, or (height, width), found {tile}")
    return tuple(map(int, sides))


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.asarray(jax.image.resize(image, (*size, image.shape[-1]), "bilinear"))
