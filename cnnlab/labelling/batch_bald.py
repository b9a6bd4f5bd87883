"""Images whose labels together tell most about a network: greedy joint mutual information."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.runtime.compile import jit

CONFIGURATIONS = 512  # combinations of classes of the chosen images that are followed
_PORTION = 1 << 24  # probabilities that are computed at a time


class Batch(NamedTuple):
    """The images that were chosen, in order.

    Attributes:
      index: `[k]` their numbers in the pool.
      gain: `[k]` what the label of each tells in nats, once the labels of those before it are known; the sum is the
        joint mutual information of all labels and the network.
    """

    index: np.ndarray
    gain: np.ndarray


class _Chosen(NamedTuple):
    """What is known of the labels of the chosen images, as combinations of classes.

    Attributes:
      share: `[M]` probability of each combination.
      weights: `[M, T]` posterior probability of each pass, given the combination.
    """

    share: np.ndarray
    weights: np.ndarray


def batch_bald(probs: np.ndarray, count: int, *, configurations: int = CONFIGURATIONS, seed: int = 0) -> Batch:
    """Chooses images one by one, each with the largest mutual information given the labels of those before it.

    Two images that are alike tell the same twice, so the second gains little. By the chain rule the gain of an image
    is the mean over the combinations of classes of the chosen images of H(y | combination), minus the mean entropy of
    the passes. As long as all combinations fit in `configurations` they are counted; after that as many are drawn,
    systematically, from their distribution. The joint information of T passes is at most log T, so after that many
    nats the gains are 0 and the order is that of the passes' own mutual information.

    Source: Kirsch, van Amersfoort and Gal, BatchBALD, NeurIPS 2019, algorithm 1. Conditional entropies replace the
    differences of joint entropies, so that no product of many probabilities underflows.

    Args:
      probs: `[N, T, K]` class probabilities of each image in each pass.
      count: number of images to choose, at most N.
      configurations: number of combinations of classes, M.
      seed: seed of the combinations that are drawn.

    Raises:
      ValueError: `count` is not in 1..N, or `probs` is not `[N, T, K]`.

    >>> sure = np.array([[0.9, 0.1], [0.1, 0.9]])  # one pass says the first class, the other the second
    >>> batch_bald(np.array([sure, sure, [[0.5, 0.5], [0.5, 0.5]]]), 1).index.tolist()
    [0]
    """
    if np.ndim(probs) != 3:
        raise ValueError(f"probs must be [N, T, K], found {list(np.shape(probs))}")
    n, t, _ = np.shape(probs)
    if not 1 <= count <= n:
        raise ValueError(f"count must lie in 1..{n}, the number of images, found {count}")
    if configurations < 1:
        raise ValueError(f"configurations must be 1 or more, found {configurations}")
    rng = np.random.default_rng(seed)
    probs = np.asarray(probs, np.float32)
    table = jnp.asarray(probs)
    doubt = np.asarray(_mean_entropy(table))
    own = np.asarray(_conditional_entropy(table, jnp.ones(1), jnp.full((1, t), 1 / t))) - doubt
    chosen = _Chosen(np.ones(1), np.full((1, t), 1 / t))
    index, gain, open_ = [], [], np.ones(n, bool)
    for _ in range(count):
        gains = own if not index else np.asarray(_gains(table, doubt, chosen, configurations))
        # Of images that tell nothing more, those come first that tell most alone.
        order = np.lexsort((-own, -np.maximum(gains, 0).round(6)))
        place = int(order[open_[order]][0])
        open_[place] = False
        index.append(place)
        gain.append(max(float(gains[place]), 0.0))
        chosen = _extended(chosen, probs[place], configurations, rng)
    return Batch(np.array(index, int), np.array(gain))


def _gains(table: jax.Array, doubt: np.ndarray, chosen: _Chosen, configurations: int) -> jax.Array:
    """Returns the conditional mutual information `[N]`; combinations are padded, so that one program serves all."""
    pad = max(configurations - len(chosen.share), 0)
    share = np.pad(chosen.share, (0, pad)).astype(np.float32)
    weights = np.pad(chosen.weights, ((0, pad), (0, 0))).astype(np.float32)
    return _conditional_entropy(table, share, weights) - doubt


@jit
def _mean_entropy(probs: jax.Array) -> jax.Array:
    return jax.scipy.special.entr(probs).sum(-1).mean(1)


@jit
def _conditional_entropy(probs: jax.Array, share: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns the mean over combinations of the entropy of each image's label given the combination, `[N]`."""

    def of_image(each: jax.Array) -> jax.Array:
        return share @ jax.scipy.special.entr(weights @ each).sum(-1)

    size = max(1, _PORTION // (len(share) * probs.shape[-1]))
    return jax.lax.map(of_image, probs, batch_size=min(size, len(probs)))


def _extended(chosen: _Chosen, probs: np.ndarray, most: int, rng: np.random.Generator) -> _Chosen:
    """Returns the combinations of the chosen images and one more with `probs` `[T, K]`; at most `most` of them."""
    m, k = len(chosen.share), probs.shape[1]
    joint = chosen.share[:, None] * (chosen.weights @ probs.astype(np.float64))  # [M, K]
    if m * k <= most:
        rows, classes = np.divmod(np.flatnonzero(joint.ravel() > 0), k)
        share = joint[rows, classes]
    else:
        ends = np.cumsum(joint.ravel())
        drawn = np.searchsorted(ends, (np.arange(most) + rng.random()) / most * ends[-1], side="right")
        rows, classes = np.divmod(np.minimum(drawn, joint.size - 1), k)
        share = np.full(most, 1 / most)
    weights = chosen.weights[rows] * probs[:, classes].T.astype(np.float64)
    return _Chosen(share / share.sum(), weights / weights.sum(1, keepdims=True))
