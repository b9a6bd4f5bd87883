"""Class activation maps: a weighted sum of a layer's feature maps, drawn on the image's grid.

`A [B, h, w, C]` are the layer's activations and `g` the target's gradient by them. The layer is by default the last one
with spatial axes. Each map is resized to the image bilinearly.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from cnnlab.explain.compute import Networks, Pass, explain_by
from cnnlab.explain.explanation import Explanation

_TINY = 1e-12


def grad_cam(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes Grad-CAM: `relu(sum_k alpha_k A_k)`, where `alpha_k` is the mean of `g_k` over all places.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.

    Args:
      trained: a network, or the members of an ensemble, whose maps are averaged.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1]; each image has its own map.
      target: what to explain, by default the network's own answer; see `cnnlab.explain.choice.choose_target`.
      layer: name of the layer, such as `conv2`; by default the last one with spatial axes.
      mc_samples: number of MC-Dropout passes over which the map is averaged; 0 for one pass without dropout.
      key: random key of the dropout masks.

    Returns:
      Maps `[B, H, W]`, 0 or more, and their standard deviation over passes or members. A map is not scaled; it is zero
      everywhere where no feature map speaks for the target.

    Raises:
      ValueError: there is no such layer or class, or the layer has no spatial axes.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> from cnnlab.trained import Trained
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> images = jax.random.uniform(jax.random.key(1), (3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), spec)
    >>> grad_cam(trained, images, target=1).map.shape
    (3, 28, 28)
    """
    return _explain(grad_cam_map, trained, images, target, layer, mc_samples, key)


def grad_cam_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `grad_cam` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, a, g = one.activations(x)
    return _resized(jax.nn.relu((g.mean((1, 2), keepdims=True) * a).sum(-1)), x), value


def hires_cam(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes HiResCAM: `relu(sum_k g_k A_k)`, place by place, which shows only places that the network uses.

    Source: Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020 (arXiv 2011.08891).

    The arguments are those of `grad_cam`.
    """
    return _explain(hires_cam_map, trained, images, target, layer, mc_samples, key)


def hires_cam_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `hires_cam` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, a, g = one.activations(x)
    return _resized(jax.nn.relu((g * a).sum(-1)), x), value


def grad_cam_plus_plus(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes Grad-CAM++: Grad-CAM with weights that count several objects of a class alike.

    `alpha_k` is the sum over all places of `relu(g) g^2 / (2 g^2 + g^3 sum A)`, where the sum of `A` runs over the
    places of the feature map.

    Source: Chattopadhay et al., Grad-CAM++, WACV 2018, equation 19.

    The arguments are those of `grad_cam`.
    """
    return _explain(grad_cam_plus_plus_map, trained, images, target, layer, mc_samples, key)


def grad_cam_plus_plus_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `grad_cam_plus_plus` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, a, g = one.activations(x)
    below = 2 * g**2 + g**3 * a.sum((1, 2), keepdims=True)
    share = jnp.where((g != 0) & (below != 0), g**2 / jnp.where(below != 0, below, 1), 0)
    weights = (jax.nn.relu(g) * share).sum((1, 2), keepdims=True)
    return _resized(jax.nn.relu((weights * a).sum(-1)), x), value


def layer_cam(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes LayerCAM: `relu(sum_k relu(g_k) A_k)`, place by place, which is sharp in early layers too.

    Source: Jiang et al., LayerCAM, IEEE Transactions on Image Processing 2021.

    The arguments are those of `grad_cam`.
    """
    return _explain(layer_cam_map, trained, images, target, layer, mc_samples, key)


def layer_cam_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `layer_cam` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, a, g = one.activations(x)
    return _resized(jax.nn.relu((jax.nn.relu(g) * a).sum(-1)), x), value


def eigen_cam(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes Eigen-CAM: the projection of each place's features, less their mean, on their first principal component.

    It shows what stands out in the layer, for whatever class; the target does not change the map. The component's sign,
    which is arbitrary, is chosen so that the strongest place is positive; negative places become 0.

    Source: Muhammad and Yeasin, Eigen-CAM, IJCNN 2020.

    The arguments are those of `grad_cam`.
    """
    return _explain(_eigen_cam, trained, images, target, layer, mc_samples, key)


def _eigen_cam(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    value, a, _ = one.activations(x)
    places = a.reshape(len(a), -1, a.shape[-1])
    places -= places.mean(1, keepdims=True)
    projection = _first_projection(places)
    strongest = jnp.take_along_axis(projection, jnp.abs(projection).argmax(1)[:, None], 1)
    return _resized(jax.nn.relu(projection * jnp.sign(strongest)).reshape(a.shape[:3]), x), value


def _first_projection(places: jax.Array) -> jax.Array:
    """Returns the projection of rows `[B, p, C]` on their first principal component, `[B, p]`.

    It is computed from the smaller one of the products of the rows with themselves, `[p, p]` or `[C, C]`.
    """
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    wide = places.shape[1] < places.shape[2]
    values, vectors = jnp.linalg.eigh(product("bpc,bqc->bpq" if wide else "bpc,bpd->bcd", places, places))
    if wide:
        return jnp.sqrt(jnp.maximum(values[:, -1:], 0)) * vectors[..., -1]
    return product("bpc,bc->bp", places, vectors[..., -1])


def score_cam(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes Score-CAM: feature maps weighted by the target's value for the image seen through each of them alone.

    It uses no gradient, and one forward pass for each channel of the layer. The weights are the softmax over the
    channels of the target's values.

    Source: Wang et al., Score-CAM, CVPR workshops 2020, algorithm 1.

    The arguments are those of `grad_cam`.
    """
    return _explain(_score_cam, trained, images, target, layer, mc_samples, key)


def _score_cam(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    value, a, _ = one.activations(x)

    def score(channel: jax.Array) -> jax.Array:
        mask = _resized(channel, x)
        low, high = mask.min((1, 2), keepdims=True), mask.max((1, 2), keepdims=True)
        return one.value(x * ((mask - low) / jnp.maximum(high - low, _TINY))[..., None])

    weights = jax.nn.softmax(jax.lax.map(score, jnp.moveaxis(a, -1, 0)), axis=0)  # [C, B]
    return _resized(jax.nn.relu(jnp.einsum("bhwc,cb->bhw", a, weights)), x), value


def _explain(method, trained, images, target, layer, mc_samples, key) -> Explanation:
    options = {"layer": layer, "reads_layer": True, "mc_samples": mc_samples, "key": key}
    return explain_by(method, trained, images, target, **options)


def _resized(maps: jax.Array, x: jax.Array) -> jax.Array:
    """Resizes maps `[B, h, w]` to the grid of the images `[B, H, W, C]`."""
    return jax.image.resize(maps, (len(maps), *x.shape[1:3]), "bilinear", antialias=False)
