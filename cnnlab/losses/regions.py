"""Losses of whole regions: the overlap of true and predicted pixels of each class.

All of them read probabilities `[B, ..., K]` and labels `[B, ...]`, -1 = ignored: such pixels count neither as truth nor
as guess. Every image is measured by itself.

Empty classes: a class that no pixel of an image has is left out of that image's mean, as there is nothing to cover;
pixels wrongly guessed to be of it are missing from the classes they have. An image in which no class is left gives 0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Overlap(NamedTuple):
    """Pixels of each image and class, `[B, K]`, with probabilities counted as parts of pixels."""

    hit: jax.Array
    guessed: jax.Array
    true: jax.Array


def overlap(probs: jax.Array, labels: jax.Array) -> Overlap:
    """Counts the pixels of truth and prediction of every class, and those in common.

    >>> pixels = overlap(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]), jnp.array([[0, -1]]))
    >>> pixels.hit.tolist(), pixels.guessed.tolist(), pixels.true.tolist()
    ([[0.75, 0.0]], [[0.75, 0.25]], [[1.0, 0.0]])
    """
    axes = tuple(range(1, labels.ndim))
    truth = jax.nn.one_hot(labels, probs.shape[-1])  # of -1: zeros
    known = (labels >= 0)[..., None]
    return Overlap((probs * truth).sum(axes), jnp.where(known, probs, 0).sum(axes), truth.sum(axes))


def tversky(
    probs: jax.Array,
    labels: jax.Array,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    classes: Sequence[int] | None = None,
) -> jax.Array:
    """Computes `1 - hit / (hit + alpha wrong + beta missed)`, averaged over classes; a larger beta misses fewer pixels.

    Source: Salehi et al., Tversky Loss Function for Image Segmentation, MLMI 2017.

    Args:
      probs: `[B, ..., K]`.
      labels: `[B, ...]` int32 in 0..K-1, -1 = ignored.
      alpha: weight of pixels that are guessed and not true.
      beta: weight of pixels that are true and not guessed.
      classes: those that count, such as `(1,)` for the foreground of two; all if left out.

    Returns:
      `[B]`, in 0..1.

    >>> round(float(tversky(jnp.array([[[0.0, 1.0], [0.5, 0.5]]]), jnp.array([[1, 1]]))[0]), 4)  # 1 - 1.5 / 1.85
    0.1892
    """
    hit, guessed, true = overlap(probs, labels)
    whole = hit + alpha * (guessed - hit) + beta * (true - hit)
    here = (true > 0) & _chosen(classes, probs.shape[-1])
    lost = jnp.where(here, 1 - hit / jnp.where(here, whole, 1), 0)
    return lost.sum(-1) / jnp.maximum(here.sum(-1), 1)


def dice(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes `1 - 2 hit / (guessed + true)`, averaged over classes, `[B]`: `tversky` with alpha = beta = 1/2.

    `optax.losses.dice_loss` measures each image by itself, too, but counts ignored pixels (targets of zeros) as wrong
    guesses, takes the mean over all classes, also those that an image lacks, and adds 1 above and below the fraction
    bar. It refuses probabilities under `jit`.

    Source: Milletari et al., V-Net, 3DV 2016, without its squares in the denominator.

    Args: as in `tversky`.

    >>> dice(jnp.array([[[0.0, 1.0], [0.0, 1.0]]]), jnp.array([[1, 0]]), classes=(1,)).round(4).tolist()  # 1 - 2 / 3
    [0.33329999446868896]
    """
    return tversky(probs, labels, alpha=0.5, beta=0.5, classes=classes)


def jaccard(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes `1 - hit / (guessed + true - hit)`, 1 minus the IoU, averaged over classes, `[B]`.

    Source: Rahman and Wang, Optimizing Intersection-over-Union in Deep Neural Networks, ISVC 2016.

    Args: as in `tversky`.

    >>> jaccard(jnp.array([[[0.0, 1.0], [0.0, 1.0]]]), jnp.array([[1, 0]]), classes=(1,)).tolist()
    [0.5]
    """
    return tversky(probs, labels, alpha=1.0, beta=1.0, classes=classes)


def generalised_dice(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes `1 - 2 sum_k w_k hit_k / sum_k w_k (guessed_k + true_k)` with `w_k = 1 / true_k^2`, `[B]`.

    Source: Sudre et al., Generalised Dice Overlap as a Deep Learning Loss Function, DLMIA 2017.

    Args: as in `tversky`.

    >>> probs = jnp.array([[[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]])
    >>> round(float(generalised_dice(probs, jnp.array([[0, 0, 1]]))[0]), 4)  # 1 - 2 (2 / 4 + .5) / (4.5 / 4 + 1.5)
    0.2381
    """
    hit, guessed, true = overlap(probs, labels)
    here = (true > 0) & _chosen(classes, probs.shape[-1])
    weight = jnp.where(here, 1 / jnp.where(here, true, 1) ** 2, 0)
    whole = (weight * (guessed + true)).sum(-1)
    any_here = here.any(-1)
    return jnp.where(any_here, 1 - 2 * (weight * hit).sum(-1) / jnp.where(any_here, whole, 1), 0)


def _chosen(classes: Sequence[int] | None, k: int) -> jax.Array:
    """Returns which of k classes count, `[k]`.

    Raises:
      ValueError: one of them is not in 0..k-1.
    """
    if classes is None:
        return jnp.ones(k, bool)
    if not classes or not all(0 <= one < k for one in classes):
        raise ValueError(f"classes must lie in 0..{k - 1}, one or more of them, found {tuple(classes)}")
    return jnp.zeros(k, bool).at[jnp.array(tuple(classes))].set(True)


REGIONS: dict[str, Callable[..., jax.Array]] = {
    "dice": dice,
    "generalised_dice": generalised_dice,
    "jaccard": jaccard,
    "tversky": tversky,
}
"""Losses of regions by name. A task passes its fields to their keyword parameters of the same name."""
