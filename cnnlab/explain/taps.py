"""One forward pass of a network with access to the output of any layer, without editing the network."""

import collections
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.errors import unknown
from cnnlab.nn.taps import tap
from cnnlab.trained import Forward, Trained


class Layer(NamedTuple):
    """A layer whose output is an array.

    Attributes:
      name: path of the module, such as `stage3/block2`.
      shape: shape of its output for one image, `[1, ...]`.
      calls: number of its calls in a pass; a layer that is called several times stands for its last call.
    """

    name: str
    shape: tuple[int, ...]
    calls: int


def find_layers(trained: Trained, shape: tuple[int, int, int] | None = None) -> list[Layer]:
    """Lists the layers of a network in the order in which they end, dropout left out; nothing is computed.

    Args:
      trained: the network.
      shape: height, width and channels of the image; by default those of the training images.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> [(layer.name, layer.shape) for layer in find_layers(trained)][:2]
    [('conv1', (1, 28, 28, 6)), ('conv2', (1, 10, 10, 16))]
    """
    return list(_trace(trained, shape)[0])


def logits_shape(trained: Trained, shape: tuple[int, int, int] | None = None) -> tuple[int, ...]:
    """Returns the shape of the logits for one image, `[1, ...]`; nothing is computed.

    The arguments are those of `find_layers`.
    """
    return _trace(trained, shape)[1]


def _trace(trained: Trained, shape: tuple[int, int, int] | None) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    leaves, structure = jax.tree.flatten(trained.variables)
    arrays = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _trace_once(trained.network, structure, arrays, tuple(shape or trained.spec.shape))


@functools.lru_cache(maxsize=64)
def _trace_once(network: nn.Module, structure: Any, arrays: tuple, shape: tuple[int, int, int]) -> tuple:
    """Returns the layers of a network and the shape of its logits."""
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def note(module: nn.Module, call, args, kwargs):
        out = call(*args, **kwargs)
        name = "/".join(module.path)
        if name and hasattr(out, "shape") and not isinstance(module, nn.Dropout):
            shapes.setdefault(name, []).append(out.shape)
        return out

    variables, image = jax.tree.unflatten(structure, arrays), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with tap(note):
        logits = jax.eval_shape(lambda variables, x: cnn.apply(network, variables, x), variables, image)
    return tuple(Layer(name, each[-1], len(each)) for name, each in shapes.items()), logits.shape


def find_layer(trained: Trained, name: str | None = None, shape: tuple[int, int, int] | None = None) -> Layer:
    """Returns the layer of a name; without a name, the last one whose output has spatial axes of more than one place.

    A layer that gives the logits themselves, as in segmentation, is not the default.

    Raises:
      ValueError: there is no such layer, or the network has none with spatial axes.
    """
    layers = find_layers(trained, shape)
    if name is not None:
        matches = [layer for layer in layers if layer.name == name]
        if not matches:
            raise unknown("layer", name, [layer.name for layer in layers])
        return matches[0]
    spatial = [layer for layer in layers if is_spatial(layer)]
    if spatial and spatial[-1].shape == logits_shape(trained, shape):
        last = spatial[-1].name
        spatial = [layer for layer in spatial if layer.name != last and not layer.name.startswith(f"{last}/")]
    if not spatial:
        raise ValueError(
            f"{type(trained.network).__name__} has no layer with spatial axes [B, h, w, C]; choose a method that needs "
            "none, such as saliency or occlusion"
        )
    return spatial[-1]


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

    Raises:
      ValueError: the layer is inside `nn.scan` or `nn.remat`, where its output cannot be reached.
    """
    if layer is None:
        return forward(trained.network, trained.variables, x), None
    logits, (output,) = run_all(trained, x, [layer], forward=forward, change=change)
    return logits, output


def run_all(
    trained: Trained,
    x: jax.Array,
    layers: Sequence[Layer],
    *,
    forward: Forward = cnn.apply,
    change: Callable[[jax.Array], jax.Array] | None = None,
) -> tuple[jax.Array, list[Any]]:
    """Runs a network on normalised images, with access to several layers.

    The arguments are those of `run`; `change` replaces the output of each layer. Returns the logits, and the outputs
    in the order of `layers`.

    Raises:
      ValueError: as for `run`.
    """
    calls, counts = {layer.name: layer.calls for layer in layers}, collections.Counter()
    outputs: dict[str, Any] = {}
    outside = _trace_state()

    def reach(module: nn.Module, call, args, kwargs):
        out, name = call(*args, **kwargs), "/".join(module.path)
        if name in calls:
            if _trace_state() != outside:
                raise ValueError(f"the layer {name} is inside nn.scan, nn.remat or nn.vmap; choose the layer around it")
            counts[name] += 1
            if counts[name] == calls[name]:
                outputs[name] = out = out if change is None else change(out)
        return out

    with tap(reach):
        logits = forward(trained.network, trained.variables, x)
    return logits, [outputs[layer.name] for layer in layers]


_trace_state = functools.partial(jax.core.get_opaque_trace_state, convention="flax")
"""Returns an object that is equal for two calls in the same trace."""
