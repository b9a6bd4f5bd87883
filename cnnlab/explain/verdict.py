"""The verdict on a map: scores that say how far to trust it, beside those of a random map and of an edge detector."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnnlab import nn as cnn
from cnnlab.data import InputSpec, check_images, normalise
from cnnlab.data.spec import as_float, standardise
from cnnlab.errors import check_known
from cnnlab.explain.baselines import edge_maps, random_maps
from cnnlab.explain.compute import Pass
from cnnlab.explain.randomisation import Explain
from cnnlab.explain.scores import SCORES, Case, names_of
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

_LARGE = 2**22  # numbers in the input of a pass; beyond it, versions of a batch pass one by one, which bounds memory


def judge(
    trained: Trained,
    images: jax.Array,
    maps: jax.Array,
    target: Callable[[jax.Array], jax.Array],
    *,
    explain: Explain,
    key: jax.Array,
    scores: Sequence[str] = tuple(SCORES),
    steps: int = 16,
) -> dict[str, jax.Array]:
    """Computes how far to trust a map, beside the same scores of a random map and of an edge detector.

    An image has the same scores alone and in any batch. A map that is constant has finite scores.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      maps: `[B, H, W]`, one map an image; the most important pixel has the largest value.
      target: function from logits `[B, ...]` to values `[B]`, the answer that the maps explain. A class's probability
        makes the areas under deletion and insertion comparable between images.
      explain: function of a network and images that computes maps by the same method, for the same target. It is called
        with changed images and with random parameters, always with the whole batch.
      key: random key.
      scores: names in `SCORES`.
      steps: number of parts of deletion and insertion.

    Both functions may be pytrees (`jax.tree_util.Partial`) whose arrays change from call to call. Other functions are
    compiled for each new object, so create a lambda once.

    Returns:
      For each score, by its name, values `[B]`, and beside it `random/NAME` and `edges/NAME`.

    Raises:
      ValueError: a score is unknown, `steps` is below 1, or the shapes of images and maps do not fit.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("linear", num_classes=2), InputSpec((4, 4), classes=("a", "b"))
    >>> images = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    >>> trained = Trained(net.init(jax.random.key(1), images), net, Classification(), spec)
    >>> def explain(trained, images):
    ...     weights = trained.variables["params"]["dense"]["kernel"][:, 0].reshape(4, 4)
    ...     return weights * images[..., 0]
    >>> target = lambda logits: logits[:, 0]
    >>> verdict = judge(trained, images, explain(trained, images), target, explain=explain, key=jax.random.key(2))
    >>> verdict["deletion"].shape, bool((verdict["deletion"] < verdict["random/deletion"]).all())
    ((3,), True)
    """
    check_images(images, trained.spec, any_size=trained.any_size)
    if maps.shape != images.shape[:3]:
        raise ValueError(f"maps must be {list(images.shape[:3])}, one for each image, found {list(maps.shape)}")
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, found {steps}")
    for name in scores:
        check_known("score", name, SCORES)
    target, explain = _as_pytree(target), _as_pytree(explain)
    first, *keys = _keys(key)
    # As several answers to one image: the network reads each version of the image by a baseline once for all of them.
    alike = isinstance(images, np.ndarray) and len(images) > 1 and bool((images == images[:1]).all())
    maps = _beside(maps, images, first)
    verdict = {}
    for name, own in zip(SCORES, keys, strict=True):
        if name in scores:
            method = None if SCORES[name].is_faithfulness else explain  # its program serves all methods
            ends = _ends(name, images, trained.spec) if SCORES[name].ends else None
            values = _compute(SCORES[name].compute, trained, images, maps, ends, target, method, own, steps, alike)
            verdict |= dict(zip(names_of(name), values, strict=True))
    return verdict


@jit
def _keys(key: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the key of the random map and one for each score, which does not depend on the choice of scores."""
    return tuple(jax.random.split(key, 1 + len(SCORES)))


@jit(static_argnames=("name", "spec"))
def _ends(name: str, images: jax.Array, spec: InputSpec) -> tuple[jax.Array, jax.Array]:
    return SCORES[name].ends(normalise(images, spec))


@jit(static_argnames=("compute", "steps", "alike"))
def _compute(
    compute: Callable[[Case], jax.Array],
    trained: Trained,
    images: jax.Array,
    maps: jax.Array,
    ends: tuple[jax.Array, jax.Array] | None,
    target: Callable[[jax.Array], jax.Array],
    explain: Explain | None,
    key: jax.Array,
    steps: int,
    alike: bool,
) -> tuple[jax.Array, ...]:
    """Computes one score of the explanation, of the random map and of the edges, `[B]` each.

    `alike` says that all images are the same, so that the maps of the baselines are, too.
    """
    images = as_float(images)

    def value(x: jax.Array) -> jax.Array:
        if len(x) > 1 and x.size > _LARGE:
            return jax.lax.map(lambda one: value(one[None])[0], x)
        own, others = x[0], x[1:, :1] if alike else x[1:]
        versions = jnp.concatenate([own, others.reshape(-1, *x.shape[2:])])
        output = Pass(trained, target, None, cnn.apply, key).output(versions)
        rest = output[len(own) :].reshape(*others.shape[:2], *output.shape[1:])
        rest = jnp.broadcast_to(rest, (len(x) - 1, len(own), *output.shape[1:]))
        return jax.vmap(target)(jnp.concatenate([output[None, : len(own)], rest]))

    def explain_all(trained: Trained, images: jax.Array) -> jax.Array:
        return _beside(explain(trained, images), images, key)

    x = standardise(images, trained.spec)
    return tuple(compute(Case(value, explain_all, trained, images, x, maps, ends, key, steps)))


@jit
def _beside(maps: jax.Array, images: jax.Array, key: jax.Array) -> jax.Array:
    """Returns the maps `[K, B, H, W]`: those of the explanation, random ones and edges."""
    images = as_float(images)
    return jnp.stack([maps.astype(jnp.float32), random_maps(images, key), edge_maps(images)])


def _as_pytree(fn: Callable) -> Any:
    """Wraps a plain function, so that it can be an argument of a jitted function."""
    return Partial(fn) if jax.tree_util.all_leaves([fn]) else fn
