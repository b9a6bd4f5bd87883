"""The scores of a map: what each one computes, which value is good, and its source."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnlab.explain.faithfulness import area, blurred, infidelity, road
from cnnlab.explain.image_keys import image_keys
from cnnlab.explain.randomisation import Explain, randomisation
from cnnlab.explain.robustness import max_sensitivity
from cnnlab.trained import Trained

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


def names_of(score: str) -> tuple[str, ...]:
    """Returns the names of a score of the map, of the random map and of the edges."""
    return score, *(f"{each}/{score}" for each in BASELINES)
