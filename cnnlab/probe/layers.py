"""How the layers of a network answer to shifted images and to sums of images."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.anatomy import Row, Summary
from cnnlab.data import Examples, as_float, evaluation_batches
from cnnlab.explain.taps import Layer, find_layers, is_reachable
from cnnlab.features.activations import layer_outputs
from cnnlab.geometry.warp import affine, warp_images
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # rows down, columns to the right


def similarity_parts(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns numerator and denominator of a similarity, `[2]`; both are sums, which may be added over batches.

    Their quotient is `1 - |a - b|^2 / (|a|^2 + |b|^2)`: 1 for equal features, 0 for orthogonal ones, and -1 for
    opposite ones. Unlike a cosine it is 1 only if the lengths agree, too (Lin's concordance, Biometrics 1989).

    Args:
      a: features `[B, ...]`, less their mean.
      b: features of the same shape.
      weight: weight `[B, ...]` of each entry; its axes broadcast to those of the features.
    """
    return jnp.stack([(2 * weight * a * b).sum(), (weight * (a * a + b * b)).sum()])


def strides(summary: Summary) -> dict[str, tuple[float, float]]:
    """Returns the pixels between neighbouring units along both axes, for each layer with variables and spatial axes.

    >>> from cnnlab.anatomy import summary
    >>> strides(summary("lenet5"))["conv2"]
    (2.0, 2.0)
    """
    out = {}
    for row in _own(summary):
        steps = [float(field.stride) if field else 0.0 for field in row.fields]
        if len(row.shape) == 3 and min(row.shape[:2]) > 1 and min(steps) > 0:
            out[row.name] = (steps[0], steps[1])
    return out


def _own(summary: Summary) -> list[Row]:
    """Returns the layers with variables: rows of functions bear the name of the module that calls them."""
    return [row for row in summary.rows if row.parameters or row.statistics]


def whole_shift(steps: Mapping[str, tuple[float, float]], size: tuple[int, int]) -> int:
    """Returns the smallest shift in pixels that is a whole number of strides of every layer.

    Layers of which it would take more than half of an image to shift them are not counted.

    >>> whole_shift({"conv1": (1.0, 1.0), "conv2": (2.0, 2.0), "conv9": (32.0, 32.0)}, (28, 28))
    2
    """
    shift = 1
    for step in sorted({step for pair in steps.values() for step in pair if step >= 1}):
        longer = math.lcm(shift, round(step))
        shift = longer if longer <= min(size) / 2 else shift
    return shift


def compare_layers(trained: Trained, examples: Examples, summary: Summary, *, batch_size: int) -> dict[str, Any]:
    """Measures the invariance, equivariance and linearity of every layer.

    Images are shifted to all four sides by a whole number of strides; the nearest pixel of the edge fills what enters.
    All three measures are the similarity of `similarity_parts`; features are compared after their mean over all images
    and positions is subtracted, channel by channel, so that unrelated images score about 0.

    - Invariance: features of the shifted image against those of the original, in place.
    - Equivariance: features of the shifted image against the shifted features of the original, where both are known.
    - Linearity: features of (A + B) / 2 against the mean of the features of A and of B, for pairs of images. It is 1
      for an affine function; halves keep the sum in the range of an image.

    Args:
      trained: the network.
      examples: one split.
      summary: the network's layers for images of this size, from `cnnlab.anatomy.summary`.
      batch_size: examples at a time.

    Returns:
      `shift` in pixels, and `layers`, a record for each layer with variables, in order: `layer`, `shape`, `invariance`,
      `equivariance` (None without spatial axes, or if its stride does not divide the shift) and `linearity`.
    """
    size = summary.input[:2]
    rows = {row.name: row.shape for row in _own(summary)}
    layers = tuple(each for each in find_layers(trained, summary.input) if each.name in rows and is_reachable(each))
    shapes = {layer.name: layer.shape[1:] for layer in layers}
    # A module may do more than the layer of its name, such as a mean over all positions; then it has no strides.
    steps = {name: pair for name, pair in strides(summary).items() if shapes.get(name) == rows[name]}
    shift = whole_shift(steps, size)
    units = {
        name: tuple(round(shift / step) for step in pair)
        for name, pair in steps.items()
        if all((shift / step).is_integer() for step in pair)
    }
    totals: dict[str, dict[str, np.ndarray]] = {}
    for batch in evaluation_batches(examples, batch_size=batch_size):
        images, weight = batch["image"], batch["weight"]
        parts = [
            _shifted(trained, images, weight, (down * shift, right * shift), _moves(units, down, right), layers)
            for down, right in DIRECTIONS
        ]
        for part in [*parts, _summed(trained, images, weight, layers)]:
            for layer, measures in jax.device_get(part).items():
                of_layer = totals.setdefault(layer, {})
                for name, value in measures.items():
                    of_layer[name] = of_layer.get(name, 0) + value.astype(np.float64)
    records = [
        {"layer": layer, "shape": list(shapes[layer])}
        | {name: _quotient(totals[layer].get(name)) for name in ("invariance", "equivariance", "linearity")}
        for layer in rows
        if layer in totals
    ]
    return {"shift": shift, "layers": records}


def _moves(units: Mapping[str, tuple[int, int]], down: int, right: int) -> dict[str, jax.Array]:
    return {name: jnp.array([down * rows, right * columns]) for name, (rows, columns) in units.items()}


def _quotient(parts: np.ndarray | None) -> float | None:
    """Returns a similarity from its summed parts; None if nothing was compared, or no feature varies."""
    return None if parts is None or not parts[1] > 0 else float(parts[0] / parts[1])


@jit(static_argnames="layers")
def _shifted(
    trained: Trained,
    images: jax.Array,
    weight: jax.Array,
    shift: tuple[int, int],
    moves: dict[str, jax.Array],
    layers: tuple[Layer, ...],
) -> dict[str, dict[str, jax.Array]]:
    """Compares the layers' features of images and of the same images shifted by `(down, right)` pixels."""
    images = as_float(images)
    down, right = shift
    matrix = affine(images.shape[1:3], shift=jnp.stack([right, down]).astype(jnp.float32))
    shifted = warp_images(images, jnp.broadcast_to(matrix, (len(images), 2, 3)), fill="edge")
    before, after = layer_outputs(trained, images, layers), layer_outputs(trained, shifted, layers)
    out = {}
    for layer, features in before.items():
        a, b = _centred(weight, features, after[layer])
        rows = _expand(weight, a)
        out[layer] = {"invariance": similarity_parts(a, b, rows)}
        if layer in moves:
            moved, known = _roll(a, moves[layer])
            out[layer]["equivariance"] = similarity_parts(moved, b, rows * known)
    return out


@jit(static_argnames="layers")
def _summed(
    trained: Trained, images: jax.Array, weight: jax.Array, layers: tuple[Layer, ...]
) -> dict[str, dict[str, jax.Array]]:
    """Compares the layers' features of the mean of two images with the mean of their features."""
    images = as_float(images)
    partners = jnp.roll(images, 1, 0)
    each, of_sum = (layer_outputs(trained, x, layers) for x in (images, (images + partners) / 2))
    out = {}
    for layer, features in each.items():
        a, b = _centred(weight, (features + jnp.roll(features, 1, 0)) / 2, of_sum[layer])
        out[layer] = {"linearity": similarity_parts(a, b, _expand(weight, a))}
    return out


def _expand(weight: jax.Array, features: jax.Array) -> jax.Array:
    return weight.reshape(-1, *[1] * (features.ndim - 1))


def _centred(weight: jax.Array, *features: jax.Array) -> list[jax.Array]:
    """Subtracts from all features the mean that the first have in each channel."""
    first = features[0].astype(jnp.float32)
    axes = tuple(range(first.ndim - 1))
    each = jnp.broadcast_to(_expand(weight, first), first.shape)
    mean = (each * first).sum(axes) / each.sum(axes)
    return [x.astype(jnp.float32) - mean for x in features]


def _roll(features: jax.Array, units: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shifts features `[B, h, w, c]` by `(down, right)` units; returns them, and where they are known, `[h, w, 1]`."""
    h, w = features.shape[1:3]
    rows, columns = jnp.arange(h) - units[0], jnp.arange(w) - units[1]
    known = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
    return jnp.roll(features, (units[0], units[1]), (1, 2)), known[..., None].astype(jnp.float32)
