"""The layers that hold feature maps, and their names in a run."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.explain.taps import Layer, find_layer, find_layers, is_reachable
from cnnlab.nn.taps import first_input, tap
from cnnlab.trained import Trained


class Convolution(NamedTuple):
    """A convolution of a network.

    Attributes:
      name: path of the convolution.
      maps: path of the layer whose output holds its feature maps: the normalisation that reads the convolution, or else
        the convolution itself. So a nonlinearity after it keeps the sign, and a unit fires where it is positive.
    """

    name: str
    maps: str


def convolutions(trained: Trained) -> list[Convolution]:
    """Lists the convolutions of a network in the order of computation; nothing is computed.

    A convolution is a module with a parameter `kernel` of four axes.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Segmentation
    >>> net, spec = create_model("unet", num_classes=2, width=2), InputSpec((16, 16))
    >>> variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    >>> trained = Trained(variables, net, Segmentation(), spec)
    >>> convolutions(trained)[0]
    Convolution(name='down1/conv1/conv', maps='down1/conv1/norm')
    """
    return list(_find(trained).convolutions)


def pixel_layer(trained: Trained) -> str | None:
    """Returns the name of the dense layer that reads all pixels of the image, as a convolution of its size does.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("dense", num_classes=2), InputSpec((8, 8), classes="ab")
    >>> variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> pixel_layer(Trained(variables, net, Classification(), spec))
    'dense1'
    """
    return _find(trained).pixels


def distinct_layers(trained: Trained) -> list[Layer]:
    """Lists the layers of a network that compute something of their own, in the order in which they end.

    Left out are modules that only pass on the output of another, such as a block that ends with its last layer;
    convolutions whose feature maps a normalisation holds; modules without units, whose output is no `[B, ..., C]`; and
    layers that cannot be reached.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Segmentation
    >>> net, spec = create_model("unet", num_classes=2, width=2), InputSpec((16, 16))
    >>> variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 16, 16, 1)))
    >>> [layer.name for layer in distinct_layers(Trained(variables, net, Segmentation(), spec))][:3]
    ['down1/conv1/norm', 'down1/conv1', 'down1/conv2/norm']
    """
    found = _find(trained)
    left_out = found.repeated | {each.name for each in found.convolutions if each.maps != each.name}
    layers = filter(is_reachable, find_layers(trained))
    return [layer for layer in layers if has_units(layer) and layer.name not in left_out]


def has_units(layer: Layer) -> bool:
    """Returns whether a layer's output has a last axis of units beside that of the images."""
    return len(layer.shape) >= 2 and layer.shape[0] == 1


class _Found(NamedTuple):
    """What a trace shows: convolutions, modules that only pass on another's output, and the layer of all pixels."""

    convolutions: tuple[Convolution, ...]
    repeated: frozenset[str]
    pixels: str | None


def _find(trained: Trained) -> _Found:
    leaves, structure = jax.tree.flatten(trained.variables)
    arrays = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _find_once(trained.network, structure, arrays, trained.spec.shape)


@functools.lru_cache(maxsize=64)
def _find_once(network: nn.Module, structure: Any, arrays: tuple, shape: tuple[int, int, int]) -> _Found:
    found: dict[str, tuple[Any, str]] = {}
    outputs: dict[str, Any] = {}
    pixels: list[str] = []

    def look(module: nn.Module, call, args, kwargs):
        out, name = call(*args, **kwargs), "/".join(module.path)
        outputs[name] = out
        kernel = getattr(module.variables.get("params", {}).get("kernel"), "shape", ())
        if len(kernel) == 4:
            found[name] = out, name
        elif len(kernel) == 2 and kernel[0] == math.prod(shape) and not found and not pixels:
            pixels.append(name)
        elif type(module).__name__.endswith("Norm"):
            x = first_input(args, kwargs)
            found.update({conv: (maps, name) for conv, (maps, _) in found.items() if maps is x})
        return out

    variables, image = jax.tree.unflatten(structure, arrays), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with tap(look):
        jax.eval_shape(lambda variables, x: cnn.apply(network, variables, x), variables, image)
    first: dict[int, str] = {}  # `outputs` keeps all arrays alive, so no two have one identity
    for name, out in outputs.items():
        first.setdefault(id(out), name)
    repeated = frozenset(name for name, out in outputs.items() if first[id(out)] != name)
    convolutions = tuple(Convolution(name, maps) for name, (_, maps) in found.items())
    return _Found(convolutions, repeated, pixels[0] if pixels else None)


def choose_layers(
    trained: Trained, layers: str | Sequence[str] | None, shape: tuple[int, int, int] | None = None
) -> tuple[Layer, ...]:
    """Returns the layers of these names; without names, those that hold the feature maps of the convolutions.

    Of a network without convolutions these are all `distinct_layers`.

    Raises:
      ValueError: there is no such layer, or the network has none with units.
    """
    if layers is None:
        layers = dict.fromkeys(convolution.maps for convolution in convolutions(trained))
        layers = layers or [layer.name for layer in distinct_layers(trained)]
        if not layers:
            raise ValueError(f"{type(trained.network).__name__} has no layer with units [B, ..., C]")
    names = [layers] if isinstance(layers, str) else layers
    chosen = tuple(find_layer(trained, name, shape) for name in names)
    for layer in chosen:
        if not has_units(layer):
            raise ValueError(f"layer {layer.name} has no units: its output has the shape {list(layer.shape)}")
    return chosen


def check_units(units: Sequence[int] | None, layer: str, number: int) -> list[int]:
    """Returns the units, by default all; raises `ValueError` for one that the layer lacks."""
    units = list(range(number)) if units is None else list(units)
    for unit in units:
        if not 0 <= unit < number:
            raise ValueError(f"unit must lie in 0..{number - 1} for the layer {layer}, found {unit}")
    return units
