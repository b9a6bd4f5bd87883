"""The calls of a network's modules in one forward pass, which is traced once and not run."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from cnnlab import nn as cnn
from cnnlab.nn.taps import tap
from cnnlab.trained import Trained


class Call(NamedTuple):
    """A call of a module.

    Attributes:
      name: path of the module, such as `stage3/block2`; empty for the network itself.
      shape: shape of its output for one image, `[1, ...]`; None if the output is no array.
      rate: its rate if it is a dropout layer; None for others.
      inside: JAX's primitives that contain the last call of this name, such as `checkpoint` for `nn.remat`.
    """

    name: str
    shape: tuple[int, ...] | None
    rate: float | None
    inside: tuple[str, ...] = ()


def module_calls(trained: Trained, shape: tuple[int, int, int] | None = None) -> tuple[Call, ...]:
    """Returns the calls of a network's modules with dropout off, in the order in which they end, the network's last.

    Args:
      trained: the network.
      shape: height, width and channels of the image; by default those of the training images.
    """
    leaves, structure = jax.tree.flatten(trained.variables)
    arrays = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _trace(trained.network, structure, arrays, tuple(shape or trained.spec.shape))


@functools.lru_cache(maxsize=64)
def _trace(network: nn.Module, structure: Any, arrays: tuple, shape: tuple[int, int, int]) -> tuple[Call, ...]:
    calls = []

    def note(module: nn.Module, call, args, kwargs):
        out = call(*args, **kwargs)
        name, rate = "/".join(module.path), module.rate if isinstance(module, nn.Dropout) else None
        calls.append(Call(name, getattr(out, "shape", None), rate))
        return mark(out, name) if name and hasattr(out, "shape") else out

    variables, image = jax.tree.unflatten(structure, arrays), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with tap(note):
        program = jax.make_jaxpr(lambda variables, x: cnn.apply(network, variables, x))(variables, image)
    inside = dict(marks(program.jaxpr))
    return tuple(call._replace(inside=inside.get(call.name, ())) for call in calls)


mark = checkpoint_name
"""Function `(x, name)` that returns x and marks it in the trace."""


def marks(program: core.Jaxpr, inside: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the name of each marked array, with the primitives whose inner programs contain it.

    >>> step = jax.checkpoint(lambda x: mark(2 * x, "double") + 1)
    >>> [(name, len(inside)) for name, inside in marks(jax.make_jaxpr(step)(1.0).jaxpr)]
    [('double', 1)]
    """
    for equation in program.eqns:
        if equation.primitive.name == "name":
            yield equation.params["name"], inside
        for inner in inner_programs(equation):
            yield from marks(inner, (*inside, equation.primitive.name))


def inner_programs(equation: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """Yields the programs within an equation, such as the branches of a condition."""
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
        if hasattr(value, "eqns"):
            yield getattr(value, "jaxpr", value)
