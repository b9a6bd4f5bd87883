"""Runs a method on a network, on an ensemble or over MC-Dropout passes, in one compiled program."""

import functools
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import nn as cnn
from cnnlab.data import InputSpec, check_images, normalise
from cnnlab.explain.choice import choose_target
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.taps import Layer, find_layer, is_spatial, run
from cnnlab.explain.targets import LayerTarget, Target, class_of
from cnnlab.runtime.compile import jit
from cnnlab.trained import Forward, Trained
from cnnlab.uncertainty.dropout import met_dropout, sampled_logits
from cnnlab.uncertainty.ensemble import members_of
from cnnlab.uncertainty.hoist import hoist
from cnnlab.uncertainty.moments import moments, stacked_moments
from cnnlab.uncertainty.monte_carlo import fitting_chunk

Networks = Trained | Sequence[Trained]


class Pass(NamedTuple):
    """One pass of a network, and the value in it that is explained.

    Attributes:
      trained: the network.
      target: function of the logits, or of a layer's output, that returns the value `[B]`.
      layer: layer whose activations a method reads; None for other methods.
      forward: function that runs the network; it holds the dropout masks of the pass.
      key: random key of the method itself.
    """

    trained: Trained
    target: Target
    layer: Layer | None
    forward: Forward
    key: jax.Array

    @property
    def spec(self) -> InputSpec:
        return self.trained.spec

    def output(self, x: jax.Array) -> jax.Array:
        """Returns what the target reads of normalised images: the logits, or the output of the target's layer."""
        layer = self.target.layer if isinstance(self.target, LayerTarget) else None
        logits, output = run(self.trained, x, layer, forward=self.forward)
        return logits if layer is None else output

    def value(self, x: jax.Array) -> jax.Array:
        """Returns the value `[B]` for normalised images."""
        return self.target(self.output(x))

    def gradient(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the value `[B]` and its gradient by the normalised images, `[B, H, W, C]`."""
        return value_and_gradient(self.value, x)

    def activations(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns the value `[B]`, the layer's activations `[B, h, w, C]` and the value's gradient by them."""
        if isinstance(self.target, LayerTarget):
            raise ValueError(
                f"a class activation map reads {self.layer.name} and explains logits, not the layer "
                f"{self.target.layer.name}; choose saliency or another gradient method for a unit or a direction"
            )

        def value(offset: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            logits, output = run(self.trained, x, self.layer, forward=self.forward, change=lambda out: out + offset)
            each = self.target(logits)
            return each.sum(), (each, output)

        offset = jnp.zeros((len(x), *self.layer.shape[1:]), jnp.float32)
        gradient, (each, output) = jax.grad(value, has_aux=True)(offset)
        return each, output.astype(jnp.float32), gradient


def value_and_gradient(value: Callable[[jax.Array], jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the values `[B]` of a function of images, and the gradient of each by its own image."""

    def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        each = value(x)
        return each.sum(), each

    gradient, each = jax.grad(total, has_aux=True)(x)
    return each, gradient


Method = Callable[..., tuple[jax.Array, jax.Array]]
"""Function `(one, x, **options)` of a `Pass` and normalised images that returns maps `[B, H, W]` and values `[B]`."""


def explain_by(
    method: Method,
    trained: Networks,
    images: jax.Array,
    target: Any,
    *,
    layer: str | None = None,
    reads_layer: bool = False,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    options: Mapping[str, Hashable] | None = None,
    arrays: Mapping[str, Any] | None = None,
    remark: bool = True,
) -> Explanation:
    """Computes an explanation by a method that is one program for the device.

    Args:
      method: the method.
      trained: one network, or the members of an ensemble.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      target: what to explain, as in `choose_target`.
      layer: name of the layer that the method reads.
      reads_layer: whether the method reads a layer.
      mc_samples: number of MC-Dropout passes; 0 for one pass without dropout.
      key: random key of the method and of the dropout masks.
      options: static options of the method.
      arrays: options that are arrays.
      remark: whether to warn of maps that are zero everywhere.

    Raises:
      ValueError: images, target, layer or passes do not fit the network.
    """
    members, target, layers = prepare(trained, images, target, layer, reads_layer=reads_layer, mc_samples=mc_samples)
    key = jax.random.key(0) if key is None else key
    static = tuple(sorted((options or {}).items()))
    out = _explain(method, members, images, target, key, dict(arrays or {}), layers, mc_samples, static)
    return finish(members[0].spec.classes, target, images, *out, remark=remark)


def prepare(
    trained: Networks, images: jax.Array, target: Any, layer: str | None, *, reads_layer: bool, mc_samples: int
) -> tuple[tuple[Trained, ...], Target, tuple[Layer | None, ...]]:
    """Checks the arguments of a method; returns the members, the target, and the layer of each member."""
    if mc_samples < 0:
        raise ValueError(f"mc_samples must be 0 or more, found {mc_samples}")
    members = members_of(trained, mc_samples=mc_samples or None)
    check_images(images, members[0].spec, any_size=members[0].any_size)
    if layer is not None and not reads_layer:
        raise ValueError(f"this method explains by the image and reads no layer, found layer={layer!r}; leave it out")
    layers = tuple(find_layer(m, layer, images.shape[1:]) if reads_layer else None for m in members)
    for each in layers:
        if each is not None and not is_spatial(each):
            raise ValueError(
                f"{each.name} has the output {list(each.shape[1:])}, without spatial axes [h, w, C]; choose another "
                "layer"
            )
    return members, choose_target(members, images, target), layers


def finish(
    classes: tuple[str, ...],
    target: Target,
    images: jax.Array,
    maps: jax.Array,
    spread: jax.Array | None,
    value: jax.Array,
    *,
    remark: bool = True,
) -> Explanation:
    """Returns the explanation, and warns of maps that are zero everywhere, unless it is being traced."""
    result = Explanation(maps, spread, value, None, images, class_of(target, len(images)), classes)
    if isinstance(maps, jax.core.Tracer):
        return result
    empty = np.asarray(_is_empty(maps)) if remark else np.zeros(len(maps), bool)
    if empty.any():
        which = ", ".join(map(str, np.flatnonzero(empty)[:8])) + (", ..." if empty.sum() > 8 else "")
        warnings.warn(
            f"the map of image {which} is zero everywhere: the target does not depend on what the method looks at (a "
            "saturated or dead network, or only evidence against the target)",
            stacklevel=5,
        )
    return result


@jit
def _is_empty(maps: jax.Array) -> jax.Array:
    return ~jnp.any(maps != 0, (1, 2))


@jit(static_argnames=("method", "layers", "mc_samples", "options"))
def _explain(
    method: Method,
    members: tuple[Trained, ...],
    images: jax.Array,
    target: Target,
    key: jax.Array,
    arrays: dict[str, Any],
    layers: tuple[Layer | None, ...],
    mc_samples: int,
    options: tuple[tuple[str, Hashable], ...],
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    x = normalise(images, members[0].spec)

    def sample(one: Pass) -> dict[str, jax.Array]:
        return dict(zip(("map", "value"), method(one, x, **dict(options), **arrays), strict=True))

    if mc_samples:
        with met_dropout(members[0].network) as visit:

            def one_pass(key: jax.Array) -> dict[str, jax.Array]:
                mask_key, own = jax.random.split(key)
                forward = functools.partial(sampled_logits, key=mask_key, visit=visit)
                return sample(Pass(members[0], target, layers[0], forward, own))

            late, largest = hoist(one_pass, key)
        stats = moments(late, key, num_samples=mc_samples, chunk=min(fitting_chunk(largest), mc_samples))
    else:
        each = [sample(Pass(m, target, layer, cnn.apply, key)) for m, layer in zip(members, layers, strict=True)]
        if len(each) == 1:
            return each[0]["map"], None, each[0]["value"]
        stats = stacked_moments(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))
    return stats.mean["map"], jnp.sqrt(stats.variance["map"]), stats.mean["value"]
