"""The features by which a network describes an image: the pooled output of a layer, or the pixels."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnnlab.data import Examples, check_images
from cnnlab.explain.taps import find_layer
from cnnlab.features.activations import layer_outputs
from cnnlab.nn.taps import first_input, tap
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained, evaluation_rows, logits, outputs

PIXELS = "pixels"
"""The name that stands for the image itself, resized as the network reads it."""


def extract(
    trained: Trained, images: jax.Array | Examples, *, layer: str | None = None, batch_size: int = 256
) -> np.ndarray:
    """Computes the features of images, `[N, D]` float32, in one pass with dropout off.

    Args:
      trained: the network, any Linen module; it needs no edits.
      images: `[N, H, W, C]`, uint8 or in [0, 1], or the examples of a split, which are read batch by batch.
      layer: name of the layer, whose output is averaged over its spatial axes; `pixels` for the pixels themselves in
        [0, 1]; by default the embedding of a task that has one, such as ranking, and otherwise the input of the last
        layer with parameters, the network's own description of an image.
      batch_size: number of images in a pass.

    Raises:
      ValueError: the images do not fit the network, there are none, or there is no such layer.

    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), jnp.ones((3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> extract(trained, images).shape, extract(trained, images, layer="conv2").shape
    ((3, 84), (3, 16))
    """
    if not isinstance(images, Examples):
        check_images(images, trained.spec, any_size=trained.any_size)
        images = Examples({"image": np.asarray(images)})
    if not len(images):
        raise ValueError("images hold no example; give one or more")
    rows = _feature_rows(trained, layer)
    return evaluation_rows(trained, images, batch_size=min(batch_size, len(images)), rows=rows)["features"]


def last_features(trained: Trained, images: jax.Array) -> jax.Array:
    """Returns the input of the last layer with variables, `[B, D]`: the network's own description of an image.

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
    return pooled(inputs[-1])


def pooled(features: jax.Array) -> jax.Array:
    """Averages features `[B, ..., D]` over all axes but the first and the last."""
    return features.mean(tuple(range(1, features.ndim - 1)))


def _feature_rows(trained: Trained, layer: str | None) -> Callable[[Trained, dict[str, jax.Array]], dict]:
    """Returns the compiled function from a network and a batch to its features."""
    if layer is None:
        return _last_rows
    if layer == PIXELS:
        return _pixel_rows
    found = find_layer(trained, layer)
    return lambda trained, batch: _layer_rows(trained, batch["image"], found)


@jit
def _last_rows(trained: Trained, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    own = outputs(trained, batch["image"])
    embeds = isinstance(own, dict) and "embedding" in own
    return {"features": own["embedding"] if embeds else last_features(trained, batch["image"])}


@jit(static_argnames="layer")
def _layer_rows(trained: Trained, images: jax.Array, layer) -> dict[str, jax.Array]:
    return {"features": pooled(layer_outputs(trained, images, [layer])[layer.name])}


@jit
def _pixel_rows(trained: Trained, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    del trained
    images = batch["image"]
    values = images / 255.0 if images.dtype == np.uint8 else images
    return {"features": values.reshape(len(images), -1)}


def _is_layer(module: nn.Module) -> bool:
    """Returns whether a module has variables of its own, which are arrays and not the variables of modules inside."""
    own = module.variables.get("params", {})
    return bool(own) and not any(isinstance(value, dict) for value in own.values())
