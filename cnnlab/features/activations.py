"""The activations of every layer for images."""

from collections.abc import Sequence

import jax

from cnnlab.data import check_images, normalise
from cnnlab.explain.taps import Layer, find_layer, find_layers, is_reachable, run_all
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained


def activations(trained: Trained, images: jax.Array, layers: Sequence[str] | str | None = None) -> dict[str, jax.Array]:
    """Computes the activations of layers for images, in one pass with dropout off.

    A layer's activations are the output of its module. A ReLU that is a function, as in `nn.relu(conv(x))`, follows it
    and is no part of it.

    Args:
      trained: the network, any Linen module; it needs no edits.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      layers: names of the layers; by default all whose output is an array that can be reached, so none in `nn.scan`.

    Returns:
      The output of each layer by its name, in the order of the layers: `[B, h, w, C]` or `[B, C]`. Of a layer that is
      called several times, the last call counts.

    Raises:
      ValueError: the images do not fit the network, or there is no such layer.

    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), jnp.ones((3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> {name: values.shape for name, values in activations(trained, images).items() if "conv" in name}
    {'conv1': (3, 28, 28, 6), 'conv2': (3, 10, 10, 16)}
    """
    check_images(images, trained.spec, any_size=trained.any_size)
    shape, names = images.shape[1:], [layers] if isinstance(layers, str) else layers
    if names is None:
        chosen = list(filter(is_reachable, find_layers(trained, shape)))
    else:
        chosen = [find_layer(trained, name, shape) for name in names]
    values = _outputs(trained, images, tuple(chosen))  # the program returns a dict sorted by name
    return {layer.name: values[layer.name] for layer in chosen}


def layer_outputs(trained: Trained, images: jax.Array, layers: Sequence[Layer]) -> dict[str, jax.Array]:
    """Computes the outputs of layers for images as `activations` does, but unchecked, so that programs can contain it.

    Args:
      trained: the network; dropout is off.
      images: `[B, H, W, C]`, uint8 or in [0, 1].
      layers: layers from `cnnlab.explain.taps.find_layers`.
    """
    outputs = run_all(trained, normalise(images, trained.spec), layers)[1]
    return {layer.name: output for layer, output in zip(layers, outputs, strict=True)}


_outputs = jit(static_argnames="layers")(layer_outputs)
