"""Objectives of synthetic images: units of a layer, targets of an explanation, classes, and sums of them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnnlab import nn as cnn
from cnnlab.explain.choice import choose_target, named
from cnnlab.explain.compute import Pass
from cnnlab.explain.taps import Layer, logits_shape
from cnnlab.explain.targets import LayerTarget, Target, region
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained

Shape = tuple[int, int, int]


def unit_means(layer: Layer, units: jax.Array) -> Target:
    """Creates the target of one unit an image: the mean of its feature map over all places.

    Args:
      layer: layer of the units.
      units: number of the unit of each image, `[B]`.
    """
    return LayerTarget(layer, Partial(_means, units))


def unit_centres(layer: Layer, units: jax.Array) -> Target:
    """Creates the target of one unit an image: the value in the middle of its feature map.

    The arguments are those of `unit_means`.
    """
    return LayerTarget(layer, Partial(_centres, units))


OBJECTIVES = {"mean": unit_means, "centre": unit_centres}
"""Makers of the target of a unit."""


def _means(units: jax.Array, output: jax.Array) -> jax.Array:
    return _of_units(output.reshape(len(output), -1, output.shape[-1]).mean(1), units)


def _centres(units: jax.Array, output: jax.Array) -> jax.Array:
    middle = tuple(side // 2 for side in output.shape[1:-1])
    return _of_units(output[(slice(None), *middle)], units)


def _of_units(values: jax.Array, units: jax.Array) -> jax.Array:
    return jnp.take_along_axis(values, units[:, None], 1)[:, 0]


def layer_energy(layer: Layer) -> Target:
    """Creates the target of a whole layer: the mean of its squared outputs, whose growth enlarges what it has seen.

    Source: Mordvintsev, Olah and Tyka, Inceptionism, 2015.
    """
    return LayerTarget(layer, Partial(_energy))


def _energy(output: jax.Array) -> jax.Array:
    return (output**2).reshape(len(output), -1).mean(1)


def values_of(trained: Trained, targets: Sequence[Target], x: jax.Array) -> jax.Array:
    """Computes the sum of targets for normalised images `[B, H, W, C]`; returns `[B]`."""
    return sum(Pass(trained, target, None, cnn.apply, None).value(x).astype(jnp.float32) for target in targets)


def choose_targets(trained: Trained, target: Any, shape: Shape) -> tuple[Target, ...]:
    """Turns what a user names into targets whose sum is the objective.

    Args:
      trained: the network.
      target: a class's number or name, `4-9` for a margin, a target of `cnnlab.explain.targets`, a function of the
        logits `[B, ...]` that returns `[B]`, or a list of these. Of a segmentation a class is its mean logit over all
        pixels, of a detection the box that has the highest score for the class in a grey image.
      shape: shape of an image.

    Raises:
      ValueError: there is no such class, or a function does not return one value an image.
    """
    if isinstance(target, list | tuple):
        if not target:
            raise ValueError("target must name at least one class, target or function, found none")
        return tuple(each for one in target for each in choose_targets(trained, one, shape))
    grey = np.full((1, *shape), 0.5, np.float32)
    checked = choose_target([trained], grey, target)
    if callable(target) or complete(trained.task).logits != "map":
        return (jax.tree.map(_first, checked),)
    return (region(named(trained, target) if isinstance(target, str) else int(target)),)


def _first(leaf: jax.Array) -> jax.Array:
    """Returns what a target of one image holds of it, so that it fits any number of images."""
    return leaf[0] if jnp.ndim(leaf) == 1 and len(leaf) == 1 else leaf


def check_shape(trained: Trained, shape: Shape) -> None:
    """Raises `ValueError` unless the network takes images of a shape."""
    try:
        logits_shape(trained, shape)
    except Exception as error:
        if tuple(shape) == trained.spec.shape:
            raise
        wanted, (h, w) = "x".join(map(str, shape[:2])), trained.spec.size
        reason = f": {error}" if type(error) is ValueError and "\n" not in str(error) else ""
        raise ValueError(
            f"{type(trained.network).__name__} does not take images of {wanted} pixels{reason}; its training images "
            f"have {h}x{w}"
        ) from error
