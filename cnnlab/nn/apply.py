"""One way to call any Linen network, whatever its training switches are named."""

import functools
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Variables = dict[str, Any]


@functools.cache
def _switches(network_type: type[nn.Module]) -> dict[str, bool]:
    """Returns the switches that `__call__` takes, with their value for training."""
    values = {"deterministic": False, "use_running_average": False, "train": True, "training": True}
    taken = inspect.signature(network_type.__call__).parameters
    return {name: value for name, value in values.items() if name in taken}


def apply(
    network: nn.Module,
    variables: Variables,
    x: jax.Array,
    *,
    train: bool = False,
    rngs: dict[str, jax.Array] | None = None,
    mutable: Any = False,
):
    """Computes the network's logits in float32, with its own switches set for training or for use.

    Args:
      network: any Linen module whose `__call__` takes the images first; of `deterministic`, `use_running_average`,
        `train` and `training` those are set that it takes.
      variables: `{"params": ..., "batch_stats": ...}`.
      x: normalised images `[B, H, W, C]`.
      train: dropout on, batch statistics of this batch.
      rngs: as in `nn.Module.apply`.
      mutable: collections to be updated; then the result is `(logits, updated)`.
    """
    switches = {name: value if train else not value for name, value in _switches(type(network)).items()}
    out = network.apply(variables, x, rngs=rngs, mutable=mutable, **switches)
    if mutable is False:
        return jnp.asarray(out, jnp.float32)
    return jnp.asarray(out[0], jnp.float32), out[1]


def init(network: nn.Module, x: jax.Array, key: jax.Array) -> Variables:
    """Initialises variables for images shaped like `x`."""
    off = {name: not value for name, value in _switches(type(network)).items()}
    return dict(network.init({"params": key}, x, **off))
