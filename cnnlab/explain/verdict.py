"""The verdict on a map: scores that say how far to trust it, beside those of a random map and of an edge detector."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
from cnnlab.explain.faithfulness import area, blurred, infidelity, road
from cnnlab.explain.image_keys import image_keys
from cnnlab.explain.randomisation import Explain, randomisation
from cnnlab.explain.robustness import max_sensitivity
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

_LARGE = 2**22  # numbers in the input of a pass; beyond it, versions of a batch pass one by one, which bounds memory

BASELINES = ("random", "edges")
"""The maps beside an explanation: `baselines.random_maps` and `baselines.edge_maps`."""


class Case(NamedTuple):
    """All that a score may read. The K = 3 maps of an image are the explanation, a random map and the image's edges.

    Attributes:
      value: function that computes the target of K versions of a batch, `[K, B, H, W, C]` -> `[K, B]`.
      explain: function of a network and images that computes all three maps, `[K, B, H, W]`; the random one is new.
      trained: the network.
      images: `[B, H, W, C]`, float32 in [0, 1].
      x: `[B, H, W, C]`, the normalised images.
      maps: `[K, B, H, W]`.
      ends: the first and the last images of a curve, `[B, H, W, C]` each; None for other scores.
      key: random key of this score.
      steps: number of parts of deletion and insertion.
    """

    value: Callable[[jax.Array], jax.Array]
    explain: Explain
    trained: Trained
    images: jax.Array
    x: jax.Array
    maps: jax.Array
    ends: tuple[jax.Array, jax.Array] | None
    key: jax.Array
    steps: int

    @property
    def keys(self) -> jax.Array:
        return image_keys(self.images, self.key)


def _beats_both(own: jax.Array, random: jax.Array, edges: jax.Array) -> jax.Array:
    return (own > random) & (own > edges)


def _beats_random(own: jax.Array, random: jax.Array, edges: jax.Array) -> jax.Array:
    return own > random


def _is_nearer_to_random(own: jax.Array, random: jax.Array, edges: jax.Array) -> jax.Array:
    return jnp.abs(own - random) < jnp.abs(own - edges)


@dataclasses.dataclass(frozen=True)
class Score:
    """A score of a map.

    Attributes:
      compute: function of a `Case` that returns the scores `[K, B]`.
      higher_is_better: whether a large value is good.
      meaning: what the score says.
      paper: its source.
      is_faithfulness: whether it compares the map with the network's answers; it needs no other map of the method.
      ends: function of the normalised images that returns the first and the last images of a curve. Curves share one
        program.
      beats: rule of `beats`, a function of how good the map, the random map and the edges are (larger is better).
    """

    compute: Callable[[Case], jax.Array]
    higher_is_better: bool
    meaning: str
    paper: str
    is_faithfulness: bool = True
    ends: Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None = None
    beats: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = _beats_both


def _area(case: Case) -> jax.Array:
    return area(case.value, *case.ends, case.maps, steps=case.steps)


def _road(case: Case) -> jax.Array:
    return road(case.value, case.x, case.maps, case.keys)


def _infidelity(case: Case) -> jax.Array:
    return infidelity(case.value, case.x, case.maps, case.keys)


def _max_sensitivity(case: Case) -> jax.Array:
    return max_sensitivity(lambda images: case.explain(case.trained, images), case.images, case.maps, case.keys)


def _randomisation(case: Case) -> jax.Array:
    return randomisation(case.explain, case.trained, case.images, case.maps, case.key)


_RISE = "Petsiuk et al., RISE, BMVC 2018"
_YEH = "Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019"

SCORES: dict[str, Score] = {
    "deletion": Score(
        _area,
        False,
        "the target's mean value while the most important pixels disappear",
        _RISE,
        ends=lambda x: (x, jnp.zeros_like(x)),
    ),
    "insertion": Score(
        _area,
        True,
        "the target's mean value while the most important pixels become sharp",
        _RISE,
        ends=lambda x: (blurred(x), x),
    ),
    "road": Score(
        _road,
        True,
        "how much more the target falls without the most important pixels than without the least important ones",
        "Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022",
    ),
    "infidelity": Score(_infidelity, False, "the error of the map's prediction of how noise changes the target", _YEH),
    "max_sensitivity": Score(
        _max_sensitivity,
        False,
        "the largest relative change of the map under noise that nobody sees",
        _YEH,
        is_faithfulness=False,
        beats=_beats_random,  # edges hardly change under noise, because they do not depend on the network
    ),
    "randomisation": Score(
        _randomisation,
        False,
        "the rank correlation with the map of the same network with random parameters",
        "Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018",
        is_faithfulness=False,
        beats=_is_nearer_to_random,  # two random maps are not correlated, and equal edges wholly
    ),
}
"""Scores by name."""


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
            verdict |= dict(zip(_names(name), values, strict=True))
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


def beats(verdict: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns whether each map is better than both baselines, for each score of a verdict.

    The baselines are a random map and an edge detector. Neither depends on the network, so two scores have their own
    rule. On `max_sensitivity` a map must beat the random map only, because edges hardly change under noise. On
    `randomisation` it must be nearer to the random map's correlation, about 0, than to the edges', which is 1.

    Returns:
      Name of a score to `[B]` bool.

    >>> verdict = {"road": jnp.array([0.5, 0.5]), "random/road": jnp.zeros(2), "edges/road": jnp.array([0.4, 0.5])}
    >>> beats(verdict)["road"].tolist()
    [True, False]
    """
    return {name: score.beats(*_goodness(verdict, name)) for name, score in SCORES.items() if name in verdict}


def flagged(verdict: Mapping[str, jax.Array]) -> jax.Array:
    """Returns whether each map beats neither the random map nor the edge detector.

    A map beats a baseline if it is better on more than half of the faithfulness scores (deletion, insertion, road and
    infidelity) that the verdict holds.

    Returns:
      `[B]` bool.

    Raises:
      ValueError: the verdict holds no faithfulness score.

    >>> verdict = {"road": jnp.array([0.5, 0.1]), "random/road": jnp.zeros(2) + 0.2, "edges/road": jnp.ones(2)}
    >>> flagged(verdict).tolist()
    [False, True]
    """
    return ~functools.reduce(operator.or_, beaten_baselines(verdict).values())


def beaten_baselines(verdict: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns whether each map beats the random map and the edge detector, by the rule of `flagged`.

    Returns:
      Name of a baseline to `[B]` bool.

    Raises:
      ValueError: the verdict holds no faithfulness score.
    """
    faithful = [name for name, score in SCORES.items() if score.is_faithfulness]
    names = [name for name in faithful if name in verdict]
    if not names:
        raise ValueError(f"a verdict flags maps by {', '.join(faithful)}, found {', '.join(verdict) or 'no score'}")
    return dict(zip(BASELINES, _wins(dict(verdict), tuple(names)), strict=True))


@jit(static_argnames="names")
def _wins(verdict: dict[str, jax.Array], names: tuple[str, ...]) -> list[jax.Array]:
    """Returns whether each map is better than each baseline on more than half of the named scores."""
    own, *others = jnp.stack([_goodness(verdict, name) for name in names], 1)
    return [2 * (own > each).sum(0) > len(names) for each in others]


def _goodness(verdict: Mapping[str, jax.Array], name: str) -> jax.Array:
    """Returns a score of the map and of both baselines, `[3, B]`, with a sign so that larger is better."""
    values = jnp.stack([verdict[each] for each in _names(name)])
    return values if SCORES[name].higher_is_better else -values


def _names(score: str) -> tuple[str, ...]:
    return score, *(f"{each}/{score}" for each in BASELINES)
