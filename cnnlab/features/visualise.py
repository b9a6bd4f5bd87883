"""Feature visualisation: images, made from noise, to which a unit, a class or any other target responds most."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import struct

from cnnlab.anatomy.views import views
from cnnlab.console import console, progress_bar
from cnnlab.errors import check_known
from cnnlab.explain.taps import Layer, find_layer, find_layers, is_spatial
from cnnlab.features.ascent import Program, Settings, climb
from cnnlab.features.image_statistics import ImageStatistics, measured_statistics, natural_statistics
from cnnlab.features.layers import check_units
from cnnlab.features.objectives import OBJECTIVES, check_shape, choose_targets
from cnnlab.features.parametrisation import PARAMETRISATIONS
from cnnlab.features.transformations import Transformations
from cnnlab.trained import Trained

# Bytes of the outputs of all layers up to the visualised one, for the images of a chunk; on a CPU more fit no cache.
_BYTES = {"cpu": 1 << 25}
_ACCELERATOR_BYTES = 1 << 31


@struct.dataclass
class Visualisation:
    """Images that excite units, a pytree of NumPy arrays. In a notebook it shows itself.

    Attributes:
      images: `[U, H, W, C]` float32 in [0, 1].
      activation: `[U]`, the objective's value for the images as they are. Of a unit whose value is 0 or less, which no
        step from noise could raise, `fires` is false.
      history: `[steps, U]`, the objective's value before each step, for the transformed images.
      transparency: `[U, H, W]` in [0, 1] of MaCo: the size of the gradient that reached each pixel over all steps,
        divided by its maximum; it shows where the image matters. None for other parametrisations.
      units: `[U]`, number of each unit on the layer's last axis; None for a target.
      layer: name of the layer; None for a target of the logits.
      objective: `mean`, `centre`, or `target`.
      receptive_field: height and width in pixels of the input that a unit of the layer sees; None where a unit sees the
        whole image, or for a target.
    """

    images: np.ndarray
    activation: np.ndarray
    history: np.ndarray
    transparency: np.ndarray | None
    units: np.ndarray | None
    layer: str | None = struct.field(pytree_node=False)
    objective: str = struct.field(pytree_node=False)
    receptive_field: tuple[int, int] | None = struct.field(pytree_node=False)

    @property
    def fires(self) -> np.ndarray:
        """Returns whether each unit's value is above 0, `[U]`."""
        return self.activation > 0

    def _repr_png_(self) -> bytes:
        """Draws the images and their values, for notebooks."""
        from cnnlab.files.figures import png_bytes
        from cnnlab.plots.gallery import gallery

        names = ["target"] * len(self.images) if self.units is None else [f"unit {unit}" for unit in self.units]
        titles = [f"{name}: {value:.3g}" for name, value in zip(names, self.activation, strict=True)]
        return png_bytes(gallery(self.images, titles, title=self.layer or "", columns=8))


def visualise(
    trained: Trained,
    *,
    layer: str | None = None,
    units: Sequence[int] | None = None,
    target: Any = None,
    objective: str = "mean",
    parametrisation: str = "fourier",
    steps: int = 128,
    size: int | tuple[int, int] | None = None,
    learning_rate: float | None = None,
    total_variation: float = 0.0,
    l2: float = 0.0,
    jitter: int | None = None,
    rotation: float = 5.0,
    scale: float = 0.1,
    examples: jax.Array | None = None,
    negative: bool = False,
    seed: int = 0,
    chunk: int | None = None,
    quiet: bool = True,
) -> Visualisation:
    """Finds images that maximise the activation of units: `x* = argmax A(x) - penalties`, by Adam from noise.

    All units run through one compiled step, as a batch with one image a unit. Layers that do not fit into memory run
    chunk by chunk; another chunk changes rounding only. Before each step, the images are shifted, rotated and magnified
    at random.

    Source: Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009; Olah, Mordvintsev and Schubert,
    Feature Visualization, Distill 2017; for `maco` Fel et al., NeurIPS 2023 (arXiv 2306.06805).

    Args:
      trained: the network.
      layer: name of the layer, by default the last one with spatial axes. Units before an activation function, such
        as those of `conv1`, have a gradient also where they do not fire.
      units: numbers of the units on the layer's last axis; by default all.
      target: objective in place of a layer's units: a class, a target of `cnnlab.explain.targets`, a function of the
        logits, or a list of these, which are added; see `cnnlab.features.objectives.choose_targets`.
      objective: the unit's activation: `mean` over all places, or `centre`, its value in the middle of the map.
      parametrisation: `fourier`, `pixels` or `maco`; see `cnnlab.features.parametrisation`.
      steps: number of steps.
      size: side or height and width of the images in pixels; by default those of the training images.
      learning_rate: step size of Adam; the default depends on the parametrisation.
      total_variation: weight of the mean absolute difference of neighbouring pixels.
      l2: weight of the mean square of the normalised image.
      jitter: largest shift in pixels; by default a sixteenth of the shorter side.
      rotation: largest rotation in degrees, below 45.
      scale: limit of the magnification, between 1 / (1 + scale) and 1 + scale.
      examples: images `[N, H, W, C]`, such as training images, whose mean, colours and, for `maco`, mean magnitude of
        Fourier coefficients are used; by default those of natural images.
      negative: whether to minimise the activation.
      seed: seed of the noise and the transformations. Each unit's noise depends on the seed and its number only.
      chunk: number of units at a time; by default as many as fit into memory.
      quiet: whether to show no progress.

    Returns:
      Images in [0, 1], their activations and the course of the optimisation.

    Raises:
      ValueError: there is no such layer, unit or class, the network does not take images of this size, or an argument
        is out of range.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), np.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> result = visualise(trained, layer="conv1", units=[2, 5], steps=4)
    >>> result.images.shape, bool((result.history[-1] > result.history[0]).all())
    ((2, 28, 28, 1), True)
    """
    check_known("objective", objective, OBJECTIVES)
    check_known("parametrisation", parametrisation, PARAMETRISATIONS)
    shape = (*_sides(trained, size), trained.spec.channels)
    jitter = min(shape[:2]) // 16 if jitter is None else jitter
    rate = PARAMETRISATIONS[parametrisation].learning_rate if learning_rate is None else learning_rate
    _check_ranges(
        {
            "steps": (steps, 1, math.inf),
            "jitter": (jitter, 0, min(shape[:2]) - 1),
            "rotation": (rotation, 0, 44),
            "scale": (scale, 0, 10),
            "learning_rate": (rate, 0, math.inf),
            "total_variation": (total_variation, 0, math.inf),
            "l2": (l2, 0, math.inf),
            "chunk": (1 if chunk is None else chunk, 1, math.inf),
        }
    )
    check_shape(trained, shape)
    tapped = None if target is not None else find_layer(trained, layer, shape)
    if tapped is None:
        if layer is not None or units is not None:
            raise ValueError("target takes the place of layer and units; leave these out")
        numbers, targets = np.zeros(1, np.int32), choose_targets(trained, target, shape)
    else:
        numbers, targets = np.array(check_units(units, tapped.name, tapped.shape[-1]), np.int32), ()
        if not len(numbers):
            raise ValueError("units must name at least one unit, found none")
    statistics = natural_statistics(shape) if examples is None else _measured(trained, examples, shape)
    ranges, penalties = Transformations(int(jitter), float(rotation), float(scale)), (total_variation, l2)
    settings = Settings(parametrisation, shape, ranges, *map(float, penalties), -1 if negative else 1, float(rate))
    field = None if tapped is None else _receptive_field(trained, tapped, shape)
    if chunk is None:  # chunks of about the same size, because the last one is filled up
        chunk = -(-len(numbers) // -(-len(numbers) // _fitting_chunk(trained, tapped, shape)))
    chunk = min(len(numbers), chunk)
    program = Program(trained, targets, tapped, objective, statistics, settings)
    parts = []
    with progress_bar(console(quiet), texts={"label": "steps x units"}, total=steps * len(numbers)) as update:
        for start in range(0, len(numbers), chunk):
            some = numbers[np.arange(start, start + chunk).clip(max=len(numbers) - 1)]  # one shape, one compilation
            count = min(chunk, len(numbers) - start)

            def done(step: int, start: int = start, count: int = count) -> None:
                update(completed=steps * start + step * count)

            part = climb(program, some, jax.random.key(seed), steps, done)
            parts.append([array[..., :count] if i == 2 else array[:count] for i, array in enumerate(part)])
    images, activation, history, reached = (
        np.concatenate(each, -1 if i == 2 else 0) for i, each in enumerate(zip(*parts, strict=True))
    )
    largest = np.maximum(reached.max((1, 2), keepdims=True), 1e-30)
    return Visualisation(
        images,
        activation,
        history,
        reached / largest if parametrisation == "maco" else None,
        None if tapped is None else numbers,
        None if tapped is None else tapped.name,
        "target" if tapped is None else objective,
        field,
    )


def _sides(trained: Trained, size: int | tuple[int, int] | None) -> tuple[int, int]:
    sides = trained.spec.size if size is None else (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(sides) != 2 or any(int(side) != side or side < 1 for side in sides):
        raise ValueError(f"size must be a side in pixels, or (height, width), found {size}")
    return tuple(map(int, sides))


def _check_ranges(options: Mapping[str, tuple[float, float, float]]) -> None:
    """Raises `ValueError` for an option `(value, low, high)` that is out of its range."""
    for name, (value, low, high) in options.items():
        if not low <= value <= high:
            limits = f"{low} or more" if high == math.inf else f"between {low} and {high}"
            raise ValueError(f"{name} must be {limits}, found {value}")


def _measured(trained: Trained, examples: jax.Array, shape: tuple[int, int, int]) -> ImageStatistics:
    if np.ndim(examples) != 4 or examples.shape[-1] != shape[-1] or not len(examples):
        raise ValueError(f"examples must be images [N, H, W, {shape[-1]}], found {list(np.shape(examples))}")
    return measured_statistics(examples, shape[:2])


def _receptive_field(trained: Trained, layer: Layer, shape: tuple[int, int, int]) -> tuple[int, int] | None:
    """Returns the receptive field of a layer's units, and warns if the image is too small for it."""
    if not is_spatial(layer):
        return None
    field = views(trained.network, shape, [layer.name])[layer.name].size
    chosen = tuple(shape[:2]) != trained.spec.size
    if chosen and any(side < wanted for side, wanted in zip(shape, field, strict=False)):
        warnings.warn(
            f"an image of {shape[0]}x{shape[1]} pixels is smaller than the receptive field of {layer.name}, "
            f"{field[0]}x{field[1]}; its units see beyond the border",
            stacklevel=3,
        )
    return field


def _fitting_chunk(trained: Trained, layer: Layer | None, shape: tuple[int, int, int]) -> int:
    """Returns how many images fit into memory with the outputs of all layers up to one, which the gradient needs."""
    size = math.prod(shape)
    for each in find_layers(trained, shape):
        size += math.prod(each.shape)
        if layer is not None and each.name == layer.name:
            break
    return max(1, _BYTES.get(jax.default_backend(), _ACCELERATOR_BYTES) // (4 * size))
