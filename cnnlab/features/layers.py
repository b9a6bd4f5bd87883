"""The layers that hold feature maps, and their names in a run."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.explain.taps import Layer, find_layer
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
    leaves, structure = jax.tree.flatten(trained.variables)
    arrays = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return list(_find_once(trained.network, structure, arrays, trained.spec.shape))


@functools.lru_cache(maxsize=64)
def _find_once(
    network: nn.Module, structure: Any, arrays: tuple, shape: tuple[int, int, int]
) -> tuple[Convolution, ...]:
    found: dict[str, tuple[Any, str]] = {}

    def look(module: nn.Module, call, args, kwargs):
        out, name = call(*args, **kwargs), "/".join(module.path)
        if getattr(module.variables.get("params", {}).get("kernel"), "ndim", 0) == 4:
            found[name] = out, name
        elif type(module).__name__.endswith("Norm"):
            x = first_input(args, kwargs)
            found.update({conv: (maps, name) for conv, (maps, _) in found.items() if maps is x})
        return out

    variables, image = jax.tree.unflatten(structure, arrays), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with tap(look):
        jax.eval_shape(lambda variables, x: cnn.apply(network, variables, x), variables, image)
    return tuple(Convolution(name, maps) for name, (_, maps) in found.items())


def choose_layers(
    trained: Trained, layers: str | Sequence[str] | None, shape: tuple[int, int, int] | None = None
) -> tuple[Layer, ...]:
    """Returns the layers of these names; without names, those that hold the feature maps of the convolutions.

    Raises:
      ValueError: there is no such layer, or the network has no convolution.
    """
    if layers is None:
        layers = dict.fromkeys(convolution.maps for convolution in convolutions(trained))
        if not layers:
            raise ValueError(f"{type(trained.network).__name__} has no convolution; name a layer, such as a dense one")
    names = [layers] if isinstance(layers, str) else layers
    return tuple(find_layer(trained, name, shape) for name in names)


def check_units(units: Sequence[int] | None, layer: str, number: int) -> list[int]:
    """Returns the units, by default all; raises `ValueError` for one that the layer lacks."""
    units = list(range(number)) if units is None else list(units)
    for unit in units:
        if not 0 <= unit < number:
            raise ValueError(f"unit must lie in 0..{number - 1} for the layer {layer}, found {unit}")
    return units
