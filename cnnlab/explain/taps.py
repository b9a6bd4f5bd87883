"""One forward pass of a network with access to the output of any layer, without editing the network."""

import collections
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from cnnlab import nn as cnn
from cnnlab.anatomy.calls import Call, mark, module_calls
from cnnlab.errors import unknown
from cnnlab.explain.inlined import INLINED, with_changes
from cnnlab.nn.taps import tap
from cnnlab.trained import Forward, Trained


class Layer(NamedTuple):
    """A layer whose output is an array.

    Attributes:
      name: path of the module, such as `stage3/block2`.
      shape: shape of its output for one image, `[1, ...]`.
      calls: number of its calls in a pass; a layer that is called several times stands for its last call.
      inside: JAX's primitives that contain its last call, such as `checkpoint` for `nn.remat`.
    """

    name: str
    shape: tuple[int, ...]
    calls: int
    inside: tuple[str, ...] = ()


def find_layers(trained: Trained, shape: tuple[int, int, int] | None = None) -> list[Layer]:
    """Lists the layers of a network in the order in which they end, dropout left out; nothing is computed.

    Args:
      trained: the network.
      shape: height, width and channels of the image; by default those of the training images.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> [(layer.name, layer.shape) for layer in find_layers(trained)][:2]
    [('conv1', (1, 28, 28, 6)), ('conv2', (1, 10, 10, 16))]
    """
    calls: dict[str, list[Call]] = {}
    for call in module_calls(trained, shape):
        if call.name and call.shape is not None and call.rate is None:
            calls.setdefault(call.name, []).append(call)
    return [Layer(name, each[-1].shape, len(each), each[-1].inside) for name, each in calls.items()]


def logits_shape(trained: Trained, shape: tuple[int, int, int] | None = None) -> tuple[int, ...]:
    """Returns the shape of the logits for one image, `[1, ...]`; nothing is computed.

    The arguments are those of `find_layers`.
    """
    return module_calls(trained, shape)[-1].shape


def find_layer(trained: Trained, name: str | None = None, shape: tuple[int, int, int] | None = None) -> Layer:
    """Returns the layer of a name; without a name, the last one whose output has spatial axes of more than one place.

    A layer that gives the logits themselves, as in segmentation, is not the default.

    Raises:
      ValueError: there is no such layer, the network has none with spatial axes, or the layer is inside a loop or
        branch, such as `nn.scan`, where its output cannot be reached.
    """
    layers = find_layers(trained, shape)
    if name is not None:
        matches = [layer for layer in layers if layer.name == name]
        if not matches:
            raise unknown("layer", name, [layer.name for layer in layers])
        return _reachable(matches[0], layers)
    spatial = [layer for layer in layers if is_spatial(layer)]
    if spatial and spatial[-1].shape == logits_shape(trained, shape):
        last = spatial[-1].name
        spatial = [layer for layer in spatial if layer.name != last and not layer.name.startswith(f"{last}/")]
    if not spatial:
        raise ValueError(
            f"{type(trained.network).__name__} has no layer with spatial axes [B, h, w, C]; name a layer, or choose a "
            "method that needs none, such as saliency or occlusion"
        )
    return _reachable(spatial[-1], layers)


def _reachable(layer: Layer, layers: list[Layer]) -> Layer:
    """Returns the layer, if its output can be reached."""
    if closed := [name for name in layer.inside if name not in INLINED]:
        others = [each.name for each in layers if is_spatial(each) and is_reachable(each)]
        named = f"another layer ({', '.join(others)})" if others else "a method that reads no layer"
        raise ValueError(
            f"{layer.name} is inside a {closed[0]} of JAX, where its output cannot be reached; choose {named}, or "
            "saliency or occlusion"
        )
    return layer


def is_reachable(layer: Layer) -> bool:
    """Returns whether the output of a layer can be read, because it is inside no loop or branch such as `nn.scan`."""
    return set(layer.inside) <= set(INLINED)


def is_spatial(layer: Layer) -> bool:
    """Returns whether a layer's output is a map `[B, h, w, C]` of more than one place."""
    return len(layer.shape) == 4 and layer.shape[1] * layer.shape[2] > 1


def run(
    trained: Trained,
    x: jax.Array,
    layer: Layer | None,
    *,
    forward: Forward = cnn.apply,
    change: Callable[[jax.Array], jax.Array] | None = None,
) -> tuple[jax.Array, Any]:
    """Runs a network on normalised images.

    Args:
      trained: the network.
      x: normalised images `[B, H, W, C]`.
      layer: the layer whose output is returned too; None for no layer.
      forward: function that runs the network; by default dropout is off.
      change: function that replaces the layer's output before the network goes on.

    Returns:
      The logits `[B, ...]`, and the layer's output, changed by `change`; None without a layer.
    """
    if layer is None:
        return forward(trained.network, trained.variables, x), None
    outputs: list[jax.Array] = []
    count = 0

    def reach(module: nn.Module, call, args, kwargs):
        nonlocal count
        out = call(*args, **kwargs)
        if "/".join(module.path) == layer.name:
            count += 1
            if count == layer.calls:
                out = mark(out, layer.name) if layer.inside else replace(out)
        return out

    def replace(out: jax.Array) -> jax.Array:
        outputs.append(out if change is None else change(out))
        return outputs[-1]

    def logits(x: jax.Array) -> jax.Array:
        with tap(reach):
            return forward(trained.network, trained.variables, x)

    result = with_changes(logits, {layer.name: replace}, x) if layer.inside else logits(x)
    return result, outputs[-1]


def run_all(trained: Trained, x: jax.Array, layers: Sequence[Layer]) -> tuple[jax.Array, list[Any]]:
    """Runs a network on normalised images, with access to several layers.

    Returns:
      The logits `[B, ...]`, and the outputs in the order of `layers`.

    Raises:
      ValueError: a layer is inside a loop or branch, where its output cannot be reached.
    """
    calls = {layer.name: _reachable(layer, list(layers)).calls for layer in layers}
    marked = any(layer.inside for layer in layers)  # inner programs, such as those of `nn.remat`, let no output leave
    outputs: dict[str, Any] = {}

    def note(name: str, out: jax.Array) -> jax.Array:
        outputs[name] = out
        return out

    def logits(x: jax.Array) -> jax.Array:
        counts: collections.Counter[str] = collections.Counter()

        def reach(module: nn.Module, call, args, kwargs):
            out, name = call(*args, **kwargs), "/".join(module.path)
            counts[name] += 1
            if counts[name] == calls.get(name):
                out = mark(out, name) if marked else note(name, out)
            return out

        with tap(reach):
            return cnn.apply(trained.network, trained.variables, x)

    changes = {name: functools.partial(note, name) for name in calls}
    result = with_changes(logits, changes, x) if marked else logits(x)
    return result, [outputs[layer.name] for layer in layers]
