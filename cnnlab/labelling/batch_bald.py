"""Images whose labels together tell most about a network: greedy joint mutual information."""

from typing import NamedTuple

import jax
import numpy as np

from cnnlab.runtime.compile import jit

CONFIGURATIONS = 512  # combinations of classes of the chosen images that are followed
_BLOCK = 64  # images that are computed at a time
_USED_UP = 0.05  # share of the first gain below which the choice begins anew


class Batch(NamedTuple):
    """The images that were chosen, in order.

    Attributes:
      index: `[k]` their numbers in the pool.
      gain: `[k]` what the label of each tells in nats, once the labels of those before it are known. Their sum is the
        joint mutual information of the labels and the network, as long as the choice has not begun anew.
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
    is the mean, over the combinations of classes of the chosen images, of the mutual information of its label and the
    passes given the combination. As long as all combinations fit in `configurations` they are counted; after that as
    many are drawn from their distribution. T passes hold at most log T nats together. Once these are used up, that is,
    once the best gain is below a twentieth of the first one, the choice begins anew among the images that are left.

    Source: Kirsch, van Amersfoort and Gal, BatchBALD, NeurIPS 2019, algorithm 1. Conditional information
    replaces the differences of joint entropies, so that no product of many probabilities underflows.

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
    rng, probs = np.random.default_rng(seed), np.asarray(probs, np.float32)
    own = np.asarray(_conditional_information(probs, np.ones(1, np.float32), np.full((1, t), 1 / t, np.float32)))
    nothing = _Chosen(np.ones(1), np.full((1, t), 1 / t))
    chosen, bound, open_ = nothing, own.copy(), np.ones(n, bool)
    index, gain, first = [], [], own.max()
    for _ in range(count):
        left = np.flatnonzero(open_)
        if chosen is not nothing:
            _update(bound, left, probs, chosen, configurations)
            if bound[left].max() < _USED_UP * first:
                chosen, bound, first = nothing, own.copy(), own[left].max()
        place = int(left[bound[left].argmax()])
        open_[place] = False
        index.append(place)
        gain.append(max(float(bound[place]), 0.0))
        chosen = _extended(chosen, probs[place], configurations, rng)
    return Batch(np.array(index, int), np.array(gain))


def _update(bound: np.ndarray, left: np.ndarray, probs: np.ndarray, chosen: _Chosen, configurations: int) -> None:
    """Updates the gains `bound` `[N]` of the images that are left, in place, until the largest one is known.

    What an image adds never grows, so an image whose last gain is below the best new one need not be computed.
    """
    pad = max(configurations - len(chosen.share), 0)  # one program serves all numbers of combinations
    share = np.pad(chosen.share, (0, pad)).astype(np.float32)
    weights = np.pad(chosen.weights, ((0, pad), (0, 0))).astype(np.float32)
    order, best = left[np.argsort(-bound[left], kind="stable")], -np.inf
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if bound[block[0]] <= best:
            break
        images = np.pad(block, (0, _BLOCK - len(block)), mode="edge")
        bound[block] = np.asarray(_conditional_information(probs[images], share, weights))[: len(block)]
        best = max(best, bound[block].max())


@jit
def _conditional_information(probs: jax.Array, share: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns the mutual information of each image's label and the passes, given the combination, `[N]`.

    Both entropies have the weights of the same combinations, so that their errors cancel: once only one pass is left,
    the difference is 0 exactly.
    """

    def of_image(each: jax.Array) -> jax.Array:
        entr = jax.scipy.special.entr
        return share @ (entr(weights @ each).sum(-1) - weights @ entr(each).sum(-1))

    return jax.lax.map(of_image, probs, batch_size=min(_BLOCK, len(probs)))


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
