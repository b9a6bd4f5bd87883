"""Deconvolved patterns: what in a patch excites a unit, projected back to the pixels."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import normalise
from cnnlab.explain.rules import with_rule
from cnnlab.explain.taps import Layer, find_layer, find_layers, is_spatial, run_all
from cnnlab.features.cutting import cut
from cnnlab.features.layers import check_units
from cnnlab.features.patches import TopPatches, fitting_batch
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained


def patterns(trained: Trained, best: TopPatches, units: Sequence[int] | None = None) -> np.ndarray:
    """Projects the unit of each top patch back to the pixels by deconvolution.

    The unit alone is set to 1, and is propagated back through the network: ReLUs pass what is positive on the way back,
    poolings pass it to the place of the maximum in this image. Of the first convolution this is its kernel.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 2.1.

    Args:
      trained: the network.
      best: top patches of a layer of this network.
      units: numbers of the units; by default all.

    Returns:
      `[U, n, h, w, C]` float32, signed, with the windows of `best.patches(units)`; 0 outside the image.

    Raises:
      ValueError: the layer depends on the image by a nonlinearity for which deconvolution has no rule; the error names
        it.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.features import top_patches
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), np.zeros((1, 28, 28, 1), np.float32)
    >>> images[0, 10, 20] = 1
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> first = patterns(trained, top_patches(trained, images, "conv1", count=1))
    >>> kernel = trained.variables["params"]["conv1"]["kernel"]
    >>> bool(np.allclose(first[3, 0, :, :, 0], kernel[:, :, 0, 3]))
    True
    """
    units = check_units(units, best.layer, len(best.values))
    layer = find_layer(trained, best.layer, best.shape)
    windows, count = best.windows()[units], best.values.shape[1]
    index, place = best.index[units].ravel(), best.place[units].reshape(-1, 2)
    unit = np.repeat(units, count)
    portion = max(1, fitting_batch(find_layers(trained, best.shape), len(index)) // 2)  # the way back takes as much
    out = []
    for start in range(0, len(index), portion):
        rows = np.minimum(np.arange(start, start + portion), len(index) - 1)  # of one size, so it is compiled once
        images = best.examples[index[rows]]["image"]
        gradient = np.asarray(_deconvolved(trained, images, place[rows], unit[rows], layer))
        for row, each in zip(range(start, min(start + portion, len(index))), gradient, strict=False):
            out.append(cut(each, windows.reshape(-1, 4)[row], 0))
    return np.stack(out).reshape(len(units), count, *out[0].shape)


@jit(static_argnames="layer")
def _deconvolved(trained: Trained, images: jax.Array, place: jax.Array, unit: jax.Array, layer: Layer) -> jax.Array:
    """Returns the deconvolved gradient `[B, H, W, C]` of one unit for each image."""
    x = normalise(images, trained.spec)
    output, back = jax.vjp(
        with_rule(lambda x: run_all(trained, x, [layer])[1][0], "deconvolution", linear=True),
        x,
    )
    rows = jnp.arange(len(images))
    at = (rows, place[:, 0], place[:, 1], unit) if is_spatial(layer) else (rows, ..., unit)
    return back(jnp.zeros_like(output).at[at].set(1))[0]
