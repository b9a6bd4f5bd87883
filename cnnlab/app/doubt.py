"""How sure a network is of a drawing, in words that a pupil understands."""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cnnlab import nn as cnn
from cnnlab.data import Examples, normalise
from cnnlab.nn.taps import first_input, tap
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

SHARE = 0.99  # of the validation images that count as familiar
SURE = 0.8  # least mean probability of a sure answer

_REFERENCE = 5000  # training images that a drawing is compared with
_BATCH = 250


@struct.dataclass
class Familiar:
    """What a network has seen: the features of training images, and how far from them is too far.

    Attributes:
      features: `[n, d]`, of unit length.
      limit: largest distance to the nearest of them that is familiar.
    """

    features: jax.Array
    limit: jax.Array


def image_features(trained: Trained, images: jax.Array) -> jax.Array:
    """Computes what the first layer without spatial axes reads of images, `[B, d]`, each of unit length.

    These are the pooled feature maps of a convolutional network, and the pixels for a network of dense layers.
    """
    read: list[jax.Array] = []

    def note(module: nn.Module, call, args, kwargs):
        out = call(*args, **kwargs)
        if not read and module.path and getattr(out, "ndim", 0) == 2 and not isinstance(module, nn.Dropout):
            read.append(first_input(args, kwargs))
        return out

    with tap(note):
        logits = cnn.apply(trained.network, trained.variables, normalise(images, trained.spec))
    flat = (read[0] if read else logits).reshape(len(images), -1).astype(jnp.float32)
    return flat / jnp.maximum(jnp.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def strangeness(familiar: Familiar, features: jax.Array) -> jax.Array:
    """Returns how far features `[B, d]` are from the nearest training image, `[B]`; above 1 is never seen.

    Source: Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, with k = 1.
    """
    cosine = jnp.max(features @ familiar.features.T, 1)
    return jnp.sqrt(jnp.maximum(2 - 2 * cosine, 0)) / familiar.limit


def fit_familiar(trained: Trained, train: Examples, validation: Examples, *, share: float = SHARE) -> Familiar:
    """Measures what is familiar: the limit is the distance within which a share of the validation images lies.

    Args:
      trained: the network.
      train: training images; of more than 5,000, evenly spaced ones are kept.
      validation: images that the network was not trained on.
      share: share of the validation images that is familiar.
    """
    features = jnp.asarray(_features(trained, train))
    unit = Familiar(features, jnp.float32(1))
    distances = np.asarray(strangeness(unit, jnp.asarray(_features(trained, validation))))
    return Familiar(features, jnp.float32(max(np.quantile(distances, share), 1e-6)))


def _features(trained: Trained, examples: Examples) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), _REFERENCE)).astype(int))
    parts = []
    for start in range(0, len(chosen), _BATCH):
        images = examples[chosen[start : start + _BATCH]]["image"]
        padding = [(0, _BATCH - len(images)), *[(0, 0)] * 3]  # one program for all batches
        parts.append(np.asarray(_compiled_features(trained, np.pad(images, padding)))[: len(images)])
    return np.concatenate(parts)


@jit
def _compiled_features(trained: Trained, images: jax.Array) -> jax.Array:
    return image_features(trained, images)


class State(NamedTuple):
    """The state of a network before a drawing.

    Attributes:
      kind: `blank`, `sure`, `probably`, `torn` or `strange`.
      words: the state as a pupil understands it.
    """

    kind: Literal["blank", "sure", "probably", "torn", "strange"]
    words: str


def state(mean: np.ndarray, deviation: np.ndarray | None, strange: float | None, classes: tuple[str, ...]) -> State:
    """Returns the state for one drawing.

    A drawing farther from all training images than the limit was never seen. Otherwise the network is torn if the error
    bars of its first and second guess overlap (one standard deviation over the passes to each side), sure if the first
    guess has a probability of `SURE` or more, and else the first guess is probable.

    Args:
      mean: probability `[k]` of each class.
      deviation: its standard deviation over the passes; None for a single pass.
      strange: `strangeness` of the drawing; None if it was not measured.
      classes: names of the classes.

    >>> state(np.array([0.1, 0.9]), np.array([0.05, 0.05]), 0.7, ("4", "8"))
    State(kind='sure', words='sure: an 8')
    >>> state(np.array([0.4, 0.6]), np.array([0.2, 0.2]), 0.7, ("4", "9")).words
    'torn between 9 and 4'
    """
    second, first = np.argsort(mean, kind="stable")[-2:]
    name = _with_article(classes[first])
    if strange is not None and strange > 1:
        return State("strange", f"never seen the like; if anything, {name}")
    spread = 0 if deviation is None else deviation[first] + deviation[second]
    if mean[first] - mean[second] <= spread:
        return State("torn", f"torn between {classes[first]} and {classes[second]}")
    if mean[first] >= SURE:
        return State("sure", f"sure: {name}")
    return State("probably", f"probably {name}")


def _with_article(name: str) -> str:
    """Returns a digit or a letter with its article, and any other name alone."""
    if len(name) != 1:
        return name
    return f"{'an' if name in '8AEFHILMNORSXaefhilmnorsx' else 'a'} {name}"
