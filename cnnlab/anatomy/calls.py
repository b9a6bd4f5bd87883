"""The calls of a network's modules in one forward pass, which is traced once and not run."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.nn.taps import tap
from cnnlab.trained import Trained


class Call(NamedTuple):
    """A call of a module.

    Attributes:
      name: path of the module, such as `stage3/block2`; empty for the network itself.
      shape: shape of its output for one image, `[1, ...]`; None if the output is no array.
      rate: its rate if it is a dropout layer; None for others.
    """

    name: str
    shape: tuple[int, ...] | None
    rate: float | None


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
        rate = module.rate if isinstance(module, nn.Dropout) else None
        calls.append(Call("/".join(module.path), getattr(out, "shape", None), rate))
        return out

    variables, image = jax.tree.unflatten(structure, arrays), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with tap(note):
        jax.eval_shape(lambda variables, x: cnn.apply(network, variables, x), variables, image)
    return tuple(calls)
