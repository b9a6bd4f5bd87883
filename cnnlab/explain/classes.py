"""The maps of several classes at once: one forward pass, and one backward pass a class."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.data import normalise
from cnnlab.errors import check_known
from cnnlab.explain.choice import area_ranks, choose_target, class_ranks, mean_outputs, output_names
from cnnlab.explain.compute import Networks, Pass, prepare
from cnnlab.explain.methods import METHODS
from cnnlab.explain.taps import Layer
from cnnlab.explain.targets import Target
from cnnlab.runtime.compile import jit
from cnnlab.tasks.task import complete, task_name
from cnnlab.trained import Trained
from cnnlab.uncertainty.ensemble import members_of

_RANKS = {"vector": class_ranks, "map": area_ranks}


class ClassMaps(NamedTuple):
    """The maps of an image's most probable classes.

    Attributes:
      map: `[B, k, H, W]`.
      label: `[B, k]`, numbers of the classes, the most probable first.
      prob: `[B, k]`, their probabilities; of a segmentation the shares of its pixels.
    """

    map: jax.Array
    label: jax.Array
    prob: jax.Array


def dominant_classes(
    trained: Networks, images: jax.Array, *, number: int = 4, method: str = "grad_cam", layer: str | None = None
) -> ClassMaps:
    """Computes the maps of an image's most probable classes from one forward pass.

    Args:
      trained: the network, or the members of an ensemble, whose probabilities and maps are averaged.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      number: number of classes; at most as many as there are.
      method: a class activation map other than `score_cam`, `saliency` or `input_x_gradient`.
      layer: name of the layer of class activation maps.

    Raises:
      ValueError: the task has no classes, or the method needs more than one forward pass.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=3), InputSpec((28, 28), classes="abc")
    >>> images = jnp.ones((2, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), spec)
    >>> maps = dominant_classes(trained, images, number=2)
    >>> maps.map.shape, bool((maps.prob[:, 0] >= maps.prob[:, 1]).all())
    ((2, 2, 28, 28), True)
    """
    check_known("method from one forward pass", method, [name for name, m in METHODS.items() if m.program])
    first, *_ = members = members_of(trained)
    check_has_classes(first)
    if number < 1:
        raise ValueError(f"number must be 1 or more, found {number}")
    entry = METHODS[method]
    _, _, layers = prepare(members, images, None, layer, reads_layer=entry.reads_layer, mc_samples=0)
    outputs = mean_outputs(members, images)
    label = _RANKS[complete(first.task).logits](outputs)[:, :number]
    each = [choose_target(members, images, label[:, i]) for i in range(label.shape[1])]
    target = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    parts = [_maps(entry.program, *one, images, target) for one in zip(members, layers, strict=True)]
    maps = sum(parts) / len(parts)
    return ClassMaps(maps.swapaxes(0, 1), label, _probs(outputs["probs"], label))


def check_has_classes(trained: Trained) -> None:
    """Raises `ValueError` if a network has no classes of an image or of its pixels."""
    known = complete(trained.task).logits in _RANKS and trained.spec.classes
    if not known or "probs" not in output_names(trained):
        name = task_name(trained.task)
        raise ValueError(f"a sheet of dominant classes is for classification and segmentation, this is {name}")


@jit(static_argnames=("program", "layer"))
def _maps(program: Callable, trained: Trained, layer: Layer | None, images: jax.Array, target: Target) -> jax.Array:
    x = normalise(images, trained.spec)
    # The forward pass does not depend on the target, so vmap computes it once.
    return jax.vmap(lambda target: program(Pass(trained, target, layer, cnn.apply, None), x)[0])(target)


def _probs(probs: jax.Array, label: jax.Array) -> jax.Array:
    if probs.ndim == 4:
        probs = jax.nn.one_hot(probs.argmax(-1), probs.shape[-1]).mean((1, 2))
    elif probs.ndim == 3:
        probs = probs[..., 1]
    return jnp.take_along_axis(probs, label, -1)
