"""The features by which a network describes an image."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.taps import first_input, tap
from cnnlab.trained import Trained, logits


def last_features(trained: Trained, images: jax.Array) -> jax.Array:
    """Returns the input of the last layer with variables, `[B, features]`: the network's own description of an image.

    Features with spatial axes are averaged over them.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1].
    """
    inputs: list[jax.Array] = []

    def look(module: nn.Module, call, args, kwargs) -> Any:
        if _is_layer(module):
            inputs.append(first_input(args, kwargs))
        return call(*args, **kwargs)

    with tap(look):
        logits(trained, images)
    features = inputs[-1]
    return features.mean(tuple(range(1, features.ndim - 1)))


def _is_layer(module: nn.Module) -> bool:
    """Returns whether a module has variables of its own, which are arrays and not the variables of modules inside."""
    own = module.variables.get("params", {})
    return bool(own) and not any(isinstance(value, dict) for value in own.values())
