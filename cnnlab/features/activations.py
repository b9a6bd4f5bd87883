"""The activations of every layer for images."""

from collections.abc import Sequence

import jax

from cnnlab.data import check_images, normalise
from cnnlab.explain.taps import Layer, find_layer, find_layers, run_all
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained


def activations(trained: Trained, images: jax.Array, layers: Sequence[str] | str | None = None) -> dict[str, jax.Array]:
    """Computes the activations of layers for images, in one pass with dropout off.

    A layer's activations are the output of its module. A ReLU that is a function, as in `nn.relu(conv(x))`, follows it
    and is no part of it.

    Args:
      trained: the network, any Linen module; it needs no edits.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      layers: names of the layers; by default all whose output is an array.

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
    chosen = find_layers(trained, shape) if names is None else [find_layer(trained, name, shape) for name in names]
    outputs = _activations(trained, images, tuple(chosen))
    return {layer.name: output for layer, output in zip(chosen, outputs, strict=True)}


@jit(static_argnames="layers")
def _activations(trained: Trained, images: jax.Array, layers: tuple[Layer, ...]) -> list[jax.Array]:
    return run_all(trained, normalise(images, trained.spec), layers)[1]
