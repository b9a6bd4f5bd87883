"""Explanations by the gradient of the target with respect to the image.

Gradients are taken by the normalised image, as the network reads it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import nn as cnn
from cnnlab.data import normalise
from cnnlab.explain.compute import Networks, Pass, explain_by, finish, prepare, value_and_gradient
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.rules import with_rule
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained


def saliency(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes the saliency map: how strongly each pixel changes the target, `max_c |dy/dx_c|`.

    Source: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks, ICLR workshop 2014, equation 3.

    Args:
      trained: a network, or the members of an ensemble, whose maps are averaged.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      target: what to explain, by default the network's own answer; see `cnnlab.explain.choice.choose_target`.
      layer: not used; only class activation maps read a layer.
      mc_samples: number of MC-Dropout passes over which the map is averaged; 0 for one pass without dropout.
      key: random key of the dropout masks.

    Returns:
      Maps `[B, H, W]`, 0 or more, and their standard deviation over passes or members.

    Raises:
      ValueError: the images do not fit the network, or there is no such class.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> from cnnlab.trained import Trained
    >>> net, spec = create_model("linear", num_classes=2), InputSpec((1, 2), classes="ab")
    >>> params = {"dense": {"kernel": jnp.array([[1.0, 2.0], [3.0, -4.0]]), "bias": jnp.zeros(2)}}
    >>> trained = Trained({"params": params}, net, Classification(), spec)
    >>> saliency(trained, jnp.ones((1, 1, 2, 1)), target=1).map.tolist()
    [[[2.0, 4.0]]]
    """
    return explain_by(saliency_map, trained, images, target, layer=layer, mc_samples=mc_samples, key=key)


def saliency_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `saliency` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, gradient = one.gradient(x)
    return jnp.abs(gradient).max(-1), value


def input_x_gradient(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes input times gradient: each pixel's share in a linear approximation of the target, `sum_c x_c dy/dx_c`.

    Source: Shrikumar et al., Not Just a Black Box, 2016 (arXiv 1605.01713).

    The arguments are those of `saliency`; the maps are signed.
    """
    return explain_by(input_x_gradient_map, trained, images, target, layer=layer, mc_samples=mc_samples, key=key)


def input_x_gradient_map(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes `input_x_gradient` in one pass; returns `[B, H, W]` and the value `[B]`."""
    value, gradient = one.gradient(x)
    return (x * gradient).sum(-1), value


def smooth_grad(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    samples: int = 50,
    noise: float = 0.15,
) -> Explanation:
    """Computes the saliency of the mean gradient over noisy copies of the image, which removes its grain.

    Source: Smilkov et al., SmoothGrad, 2017 (arXiv 1706.03825).

    Args:
      trained: as in `saliency`, like the other arguments that are not listed here.
      images: `[B, H, W, C]`.
      target: what to explain.
      layer: not used.
      mc_samples: number of MC-Dropout passes.
      key: random key of the noise and of the dropout masks.
      samples: number of noisy copies.
      noise: standard deviation of the noise, as a share of the range of an image's values.

    Returns:
      Maps `[B, H, W]`, 0 or more: the largest absolute value over the channels of the mean gradient.

    Raises:
      ValueError: an argument is out of range, or as for `saliency`.
    """
    _check_positive("samples", samples)
    if not noise > 0:
        raise ValueError(f"noise must be above 0, found {noise}")
    options = {"samples": samples, "noise": noise}
    return explain_by(
        _smooth_grad, trained, images, target, layer=layer, mc_samples=mc_samples, key=key, options=options
    )


def _smooth_grad(one: Pass, x: jax.Array, *, samples: int, noise: float) -> tuple[jax.Array, jax.Array]:
    width = noise * (x.max((1, 2, 3), keepdims=True) - x.min((1, 2, 3), keepdims=True))

    def add(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        noisy = x + width * jax.random.normal(jax.random.fold_in(one.key, i), x.shape)
        return total + one.gradient(noisy)[1] / samples, None

    mean, _ = jax.lax.scan(add, jnp.zeros_like(x), jnp.arange(samples))
    return jnp.abs(mean).max(-1), one.value(x)


def integrated_gradients(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    baseline: Any = None,
    steps: int = 50,
) -> Explanation:
    """Computes integrated gradients: each pixel's share in the change of the target from a baseline to the image.

    The maps add up to that change, `y(x) - y(baseline)`, but for the error of the numerical integration (Gauss and
    Legendre's rule), which the explanation states as `verdict["completeness_gap"]`.

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1.

    Args:
      trained: as in `saliency`, like the other arguments that are not listed here.
      images: `[B, H, W, C]`.
      target: what to explain.
      layer: not used.
      mc_samples: number of MC-Dropout passes.
      key: random key of the dropout masks.
      baseline: image without the object: a number in [0, 1], or `[H, W, C]` or `[B, H, W, C]` as the images; by
        default the mean of the training images, which is 0 once normalised.
      steps: number of gradients along the straight line from the baseline to the image.

    Returns:
      Signed maps `[B, H, W]`.

    Raises:
      ValueError: the baseline does not fit the images, or as for `saliency`.
    """
    _check_positive("steps", steps)
    static, arrays = {"steps": steps}, {"baseline": normalised_baseline(trained, images, baseline)}
    shared = {"mc_samples": mc_samples, "key": key, "arrays": arrays}
    _, target, _ = prepare(trained, images, target, layer, reads_layer=False, mc_samples=mc_samples)
    change = explain_by(_change, trained, images, target, remark=False, **shared)
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((trained, images)))
    if isinstance(trained, Trained) and not mc_samples and not traced:
        maps = _integrate(trained, images, target, **static, **arrays)
        result = finish(trained.spec.classes, target, images, maps, None, change.target)
    else:
        result = explain_by(_integrated_gradients, trained, images, target, options=static, **shared)
    gap = jnp.abs(result.map.sum((1, 2)) - change.map[:, 0, 0])
    return result.replace(verdict={"completeness_gap": gap})


def _integrated_gradients(one: Pass, x: jax.Array, *, steps: int, baseline: jax.Array) -> tuple[jax.Array, jax.Array]:
    def add(total: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + _weighted_gradient(one, x, baseline, *step), None

    mean, _ = jax.lax.scan(add, jnp.zeros_like(x), _path(steps))
    return ((x - baseline) * mean).sum(-1), one.value(x)


def _integrate(trained: Trained, images: jax.Array, target: Any, *, steps: int, baseline: jax.Array) -> jax.Array:
    """Computes integrated gradients step by step from the host; a CPU computes a gradient slower within a loop."""
    x = normalise(images, trained.spec)
    mean = jnp.zeros_like(x)
    for place, weight in zip(*_path(steps), strict=True):
        mean = _add_gradient(mean, trained, x, baseline, target, place, weight)
    return ((x - baseline) * mean).sum(-1)


@jit
def _add_gradient(mean, trained, x, baseline, target, place, weight) -> jax.Array:
    return mean + _weighted_gradient(Pass(trained, target, None, cnn.apply, None), x, baseline, place, weight)


def _weighted_gradient(one: Pass, x: jax.Array, baseline: jax.Array, place: jax.Array, weight: jax.Array) -> jax.Array:
    return weight * one.gradient(baseline + (place + 0.5) * (x - baseline))[1]


def _path(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places on the line, from -1/2 to 1/2, and their weights, by Gauss and Legendre's rule."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return (places / 2).astype(np.float32), (weights / 2).astype(np.float32)


def _change(one: Pass, x: jax.Array, *, baseline: jax.Array) -> tuple[jax.Array, jax.Array]:
    value = one.value(x)
    return (value - one.value(jnp.broadcast_to(baseline, x.shape)))[:, None, None], value


def guided_backpropagation(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes guided back-propagation: the gradient, of which each ReLU passes only positive values.

    It draws the edges of the image more than it explains the network: Adebayo et al. (2018) show that the map hardly
    changes if the weights are random. See `with_rule` for the rule and for networks that it does not fit.

    Source: Springenberg et al., Striving for Simplicity: The All Convolutional Net, ICLR workshop 2015.

    The arguments are those of `saliency`; the maps are signed, the sum over the channels.

    Raises:
      ValueError: the network has no ReLU, or a nonlinearity for which the rule is not defined; it is named.
    """
    return explain_by(_guided, trained, images, target, layer=layer, mc_samples=mc_samples, key=key)


def deconvolution(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
) -> Explanation:
    """Computes the deconvolutional network's map: the gradient, with a ReLU applied to it in place of each ReLU's.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.

    The arguments are those of `saliency`; the maps are signed, the sum over the channels.

    Raises:
      ValueError: as for `guided_backpropagation`.
    """
    return explain_by(_deconvolution, trained, images, target, layer=layer, mc_samples=mc_samples, key=key)


def _guided(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _by_rule(one, x, "guided")


def _deconvolution(one: Pass, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _by_rule(one, x, "deconvolution")


def _by_rule(one: Pass, x: jax.Array, rule: str) -> tuple[jax.Array, jax.Array]:
    network = with_rule(one.output, rule)  # the target stays as it is
    value, gradient = value_and_gradient(lambda x: one.target(network(x)), x)
    return gradient.sum(-1), value


def normalised_baseline(trained: Networks, images: jax.Array, baseline: Any) -> jax.Array:
    """Returns a baseline as the network reads it, broadcast to `[1, H, W, C]` or `[B, H, W, C]`.

    Raises:
      ValueError: it is neither a number in [0, 1] nor an image like those that are explained.
    """
    spec = (trained if hasattr(trained, "spec") else trained[0]).spec
    shape = images.shape[1:]
    if baseline is None:
        return jnp.zeros((1, *shape))
    if np.ndim(baseline) == 0:
        if not 0 <= float(baseline) <= 1:
            raise ValueError(f"baseline must lie in [0, 1], where 0 is black, found {baseline}")
        baseline = np.full((1, *shape), baseline, np.float32)
    baseline = baseline[None] if np.ndim(baseline) == 3 else baseline
    if np.ndim(baseline) != 4 or baseline.shape[1:] != shape or len(baseline) not in (1, len(images)):
        raise ValueError(
            f"baseline must be a number, {list(shape)} or {[len(images), *shape]}, found {list(np.shape(baseline))}"
        )
    return normalise(baseline, spec)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, found {value}")
