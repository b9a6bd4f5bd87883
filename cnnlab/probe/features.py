"""What the layers of any network compute, read off by a tap."""

from typing import Any

import flax.linen as nn
import jax

from cnnlab.nn.taps import first_input, tap
from cnnlab.trained import Trained, logits


def layer_outputs(trained: Trained, images: jax.Array) -> dict[str, jax.Array]:
    """Returns the output of each module that has variables, by its path, in the order of their calls.

    Modules that contain others, and modules that return no single array, are left out. Of a module that is called
    several times, the last call counts.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1].

    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), jnp.ones((3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> {name: values.shape for name, values in layer_outputs(trained, images).items() if "conv" in name}
    {'conv1': (3, 28, 28, 6), 'conv2': (3, 10, 10, 16)}
    """
    outputs: dict[str, jax.Array] = {}

    def look(module: nn.Module, call, args, kwargs) -> Any:
        out = call(*args, **kwargs)
        if _is_layer(module) and isinstance(out, jax.Array):
            outputs.pop("/".join(module.path), None)
            outputs["/".join(module.path)] = out
        return out

    with tap(look):
        logits(trained, images)
    return outputs


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
