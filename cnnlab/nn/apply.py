"""Functions that initialise and call any Linen network, whatever names its training switches have."""

import functools
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Variables = dict[str, Any]


@functools.cache
def _switches(network_type: type[nn.Module]) -> dict[str, bool]:
    """Returns the training switches that `__call__` accepts, with their values for training."""
    values = {"deterministic": False, "use_running_average": False, "train": True, "training": True}
    accepted = inspect.signature(network_type.__call__).parameters
    return {name: value for name, value in values.items() if name in accepted}


def apply(
    network: nn.Module,
    variables: Variables,
    x: jax.Array,
    *,
    train: bool = False,
    rngs: dict[str, jax.Array] | None = None,
    mutable: Any = False,
):
    """Computes the network's logits in float32 and sets its switches for training or inference.

    Args:
      network: any Linen module whose `__call__` takes the images as its first argument. The function sets those of the
        switches `deterministic`, `use_running_average`, `train` and `training` that `__call__` accepts.
      variables: variables `{"params": ..., "batch_stats": ...}`.
      x: normalised images `[B, H, W, C]`.
      train: whether dropout is active and batch norm uses the statistics of this batch.
      rngs: random keys by name, as in `nn.Module.apply`.
      mutable: collections that the call may update, as in `nn.Module.apply`.

    Returns:
      The logits, or `(logits, updated)` with the updated collections unless `mutable` is False.
    """
    switches = {name: value if train else not value for name, value in _switches(type(network)).items()}
    out = network.apply(variables, x, rngs=rngs, mutable=mutable, **switches)
    if mutable is False:
        return jnp.asarray(out, jnp.float32)
    return jnp.asarray(out[0], jnp.float32), out[1]


def init(network: nn.Module, x: jax.Array, key: jax.Array) -> Variables:
    """Initialises the network's variables for images of the shape of `x`."""
    off = {name: not value for name, value in _switches(type(network)).items()}
    return dict(network.init({"params": key}, x, **off))
