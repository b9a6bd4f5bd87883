"""The patches of a data set that excite each unit of a layer most, in one pass over the data."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.anatomy.views import View, views
from cnnlab.console import console, progress_bar
from cnnlab.data import Dataset, Examples, check_images, evaluation_batches
from cnnlab.explain.taps import Layer, find_layer, find_layers, is_spatial
from cnnlab.features.activations import layer_outputs
from cnnlab.features.cutting import cut, patch_windows
from cnnlab.features.layers import check_units, choose_layers
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

MOST_IMAGES = 10_000  # whose means and maxima are kept
MOST_BYTES = 1 << 28  # of these means and maxima, over all layers
MEMORY = 1 << 28  # bytes for the outputs of all layers for one batch
LARGEST_BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class TopPatches:
    """The places of a data set that excite each of the C units of a layer most, one place an image.

    In a notebook it shows itself: the patches of the first units.

    Attributes:
      layer: name of the layer.
      values: activations `[C, n]` at the layer's output, from the largest; n is the number of patches, or of images if
        there are fewer.
      index: numbers `[C, n]` of the images in the split. Of equal activations the first image comes first.
      place: row and column `[C, n, 2]` of the unit in its feature map; of equal activations in an image the first place
        counts. Zero for a layer without spatial axes.
      box: receptive field `[C, n, 4]` of that unit, xyxy in pixels, which may reach beyond the image; the whole image
        for a layer without spatial axes.
      fires: share `[C]` of the images for which the unit is positive at some place.
      mean: mean over all places, `[m, C]`, for m of the images, evenly spaced.
      maximum: maximum over all places, `[m, C]`, for the same images.
      images: number of images.
      shape: height, width and channels of the images.
      view: receptive fields of the layer's units.
      examples: the split, from which patches are cut.
    """

    layer: str
    values: np.ndarray
    index: np.ndarray
    place: np.ndarray
    box: np.ndarray
    fires: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray
    images: int
    shape: tuple[int, int, int]
    view: View
    examples: Any = dataclasses.field(repr=False)

    @property
    def dead(self) -> np.ndarray:
        """Returns the numbers of the units that are positive for no image at no place."""
        return np.flatnonzero(self.fires == 0)

    def windows(self) -> np.ndarray:
        """Returns the windows `[C, n, 4]` (xyxy) that `patches` cuts, all of one size."""
        return patch_windows(self.box, self.view.size, self.shape[:2])

    def patches(self, units: Sequence[int] | None = None) -> np.ndarray:
        """Cuts the patches of units, by default of all, from the images: `[U, n, h, w, C]`.

        Height and width are those of the layer's largest receptive field; pixels outside the image are grey. Along an
        axis on which the receptive field is as long as the image or longer, a patch shows the whole image.
        """
        units = check_units(units, self.layer, len(self.values))
        windows = self.windows()[units]
        chosen, where = np.unique(self.index[units], return_inverse=True)
        where = where.reshape(windows.shape[:2])
        out: dict[tuple[int, int], np.ndarray] = {}
        for start in range(0, len(chosen), LARGEST_BATCH):
            images = self.examples[chosen[start : start + LARGEST_BATCH]]["image"]
            grey = 128 if images.dtype == np.uint8 else 0.5
            for unit, rank in np.argwhere((where >= start) & (where < start + LARGEST_BATCH)):
                out[unit, rank] = cut(images[where[unit, rank] - start], windows[unit, rank], grey)
        return np.stack([np.stack([out[unit, rank] for rank in range(where.shape[1])]) for unit in range(len(units))])

    def percentile(self, unit: int, activation: float, *, of: Literal["mean", "maximum"] = "mean") -> float:
        """Returns the percentage of images for which a unit's activation is at most this one.

        Args:
          unit: number of the unit.
          activation: the activation to compare.
          of: whether to compare with the mean or with the maximum over all places of an image.
        """
        check_units([unit], self.layer, len(self.values))
        return 100 * float(np.mean(getattr(self, of)[:, unit] <= activation))

    def _repr_png_(self) -> bytes:
        """Draws the patches of the first units, for notebooks."""
        from cnnlab.files.figures import png_bytes
        from cnnlab.plots.features import Unit, unit_sheet

        patches = self.patches(range(min(len(self.values), 16)))
        return png_bytes(unit_sheet([Unit(str(unit), each) for unit, each in enumerate(patches)], title=self.layer))


def top_patches(
    trained: Trained,
    data: Dataset | Examples | np.ndarray,
    layer: str | None = None,
    *,
    count: int = 9,
    split: str = "test",
    batch_size: int | None = None,
    quiet: bool = True,
) -> TopPatches:
    """Finds the patches of a data set that excite each unit of a layer most.

    It takes one pass over the data. A running selection of the best places stays on the device, so memory does not grow
    with the number of images.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, figure 2.

    Args:
      trained: the network; dropout is off.
      data: a data set, one of its splits, or images `[N, H, W, C]`, uint8 or in [0, 1]. Splits that are read from files
        stay on disk.
      layer: name of the layer; by default the last one with spatial axes.
      count: number of patches of each unit.
      split: split of a data set.
      batch_size: images at a time; by default as many as fit, at most 256.
      quiet: whether to show no progress.

    Raises:
      ValueError: there is no such layer or split, `count` is below 1, or the images do not fit the network.
      FloatingPointError: an activation is NaN.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), np.zeros((5, 28, 28, 1), np.float32)
    >>> images[3, 10, 20] = 1  # the only bright pixel
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> best = top_patches(trained, images, "conv1", count=2)
    >>> best.index[:, 0].tolist(), best.patches().shape
    ([3, 3, 3, 3, 3, 3], (6, 2, 5, 5, 1))
    """
    _, shape = _checked(trained, data, split)
    names = [find_layer(trained, layer, shape).name]
    options = {"count": count, "split": split, "batch_size": batch_size, "quiet": quiet}
    return top_patches_by_layer(trained, data, names, **options)[names[0]]


def top_patches_by_layer(
    trained: Trained,
    data: Dataset | Examples | np.ndarray,
    layers: Sequence[str] | None = None,
    *,
    count: int = 9,
    split: str = "test",
    batch_size: int | None = None,
    quiet: bool = True,
) -> dict[str, TopPatches]:
    """Finds the patches of a data set that excite each unit of several layers most, in one pass over the data.

    Args:
      trained: the network, as in `top_patches`, like the other arguments that are not listed here.
      data: a data set, a split, or images.
      layers: names of the layers; by default those of the feature maps of all convolutions (see
        `cnnlab.features.layers.convolutions`).
      count: number of patches of each unit.
      split: split of a data set.
      batch_size: images at a time.
      quiet: whether to show no progress.

    Returns:
      The patches of each layer by its name.
    """
    for name, value in (("count", count), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more, found {value}")
    examples, shape = _checked(trained, data, split)
    n, chosen = len(examples), choose_layers(trained, layers, shape)
    if n < count:
        warnings.warn(f"there are {n} images, so each unit has {n} patches instead of {count}", stacklevel=2)
    batch_size = batch_size or fitting_batch(find_layers(trained, shape), n)
    units = sum(layer.shape[-1] for layer in chosen)
    sampled = np.unique(np.linspace(0, n - 1, min(n, MOST_IMAGES, max(1, MOST_BYTES // (8 * units)))).astype(int))
    best, fired, parts = _nothing(chosen, min(count, n)), None, {layer.name: [] for layer in chosen}
    with progress_bar(console(quiet), texts={"label": "top patches"}, total=n) as update:
        for number, batch in enumerate(evaluation_batches(examples, batch_size=batch_size)):
            start = number * batch_size
            best, fires, sample = _scan(trained, batch["image"], batch["weight"], start, best, chosen)
            fired = fires if fired is None else jax.tree.map(jnp.add, fired, fires)
            rows = sampled[(sampled >= start) & (sampled < start + batch_size)] - start
            for name, pair in jax.device_get(sample).items() if len(rows) else ():
                parts[name].append([values[rows] for values in pair])
            update(completed=min(start + batch_size, n))
    best, fired = jax.device_get((best, fired))
    seen = views(trained.network, shape, {layer.name for layer in chosen})
    out = {}
    for layer in chosen:
        values, index, flat = best[layer.name]
        if np.isnan(values).any():
            raise FloatingPointError(
                f"the layer {layer.name} has the activation NaN; if no image holds NaN, train the network again"
            )
        place = np.stack(np.divmod(flat, layer.shape[2]), -1) if is_spatial(layer) else np.zeros((*flat.shape, 2), int)
        view = seen[layer.name]
        means, maxima = (np.concatenate(part) for part in zip(*parts[layer.name], strict=True))
        out[layer.name] = TopPatches(
            layer.name,
            values,
            index,
            place,
            view.boxes(place),
            fired[layer.name] / n,
            means,
            maxima,
            n,
            shape,
            view,
            examples,
        )
    return out


def _checked(trained: Trained, data: Any, split: str) -> tuple[Examples, tuple[int, int, int]]:
    """Returns the examples, and the shape of their images, which must fit the network."""
    examples = data[split] if isinstance(data, Dataset) else data
    if hasattr(data, "shape"):
        examples = Examples({"image": np.asarray(data)})
    first = examples[np.arange(min(1, len(examples)))]["image"]
    check_images(first, trained.spec, any_size=trained.any_size)
    return examples, first.shape[1:]


def fitting_batch(layers: Sequence[Layer], images: int) -> int:
    """Returns how many images fit `MEMORY` with the outputs of all layers in float32."""
    each = 4 * sum(math.prod(layer.shape) for layer in layers)
    return max(1, min(MEMORY // max(each, 1), LARGEST_BATCH, images))


Best = dict[str, tuple[jax.Array, jax.Array, jax.Array]]
"""The best places of each layer so far: activations, numbers of images, and numbers of places, each `[C, n]`."""


def _nothing(layers: Sequence[Layer], count: int) -> Best:
    """Returns the best places before the first image."""
    shapes = {layer.name: (layer.shape[-1], count) for layer in layers}
    none = {name: jnp.full(shape, -1, jnp.int32) for name, shape in shapes.items()}
    return {name: (jnp.full(shape, -jnp.inf), none[name], none[name]) for name, shape in shapes.items()}


@jit(static_argnames="layers")
def _scan(
    trained: Trained, images: jax.Array, weight: jax.Array, start: jax.Array, best: Best, layers: tuple[Layer, ...]
) -> tuple[Best, dict[str, jax.Array], dict[str, tuple[jax.Array, jax.Array]]]:
    """Runs the network on a batch that begins with image number `start`.

    Returns the best places, for how many images each unit is positive, `[C]`, and its mean and maximum for each image,
    `[B, C]`.
    """
    b, new, fired, sample = len(images), {}, {}, {}
    for name, output in layer_outputs(trained, images, layers).items():
        maps = output.astype(jnp.float32).reshape(b, -1, output.shape[-1])
        largest, real = maps.max(1), weight[:, None] > 0
        fired[name] = jnp.sum(real & (largest > 0), 0, dtype=jnp.int32)
        sample[name] = maps.mean(1), largest
        before = best[name]
        # Of equal values `top_k` takes the first one, and the places before the batch come first.
        values, image = jax.lax.top_k(jnp.where(real, largest, -jnp.inf).T, min(b, before[0].shape[1]))
        place = maps[image, :, jnp.arange(maps.shape[-1])[:, None]].argmax(-1)
        both = [
            jnp.concatenate([old, array.astype(old.dtype)], 1)
            for old, array in zip(before, (values, start + image, place), strict=True)
        ]
        _, order = jax.lax.top_k(both[0], before[0].shape[1])
        new[name] = tuple(jnp.take_along_axis(array, order, 1) for array in both)
    return new, fired, sample
