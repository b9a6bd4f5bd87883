"""Losses of whole regions: the overlap of true and predicted pixels of each class.

Every loss takes probabilities `[B, ..., K]` and labels `[B, ...]`, and returns one value for each image. Pixels with
the label -1 are ignored: they count neither as true nor as predicted pixels.

An image's mean leaves out the classes that the image lacks, because there is nothing to cover. Pixels that are wrongly
predicted as such a class still cost something, because their true classes miss them. The loss of an image without any
class is 0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Overlap(NamedTuple):
    """Numbers of pixels of each image and class, `[B, K]`. A probability counts as a part of a pixel.

    Attributes:
      hit: true pixels that are predicted.
      guessed: predicted pixels.
      true: true pixels.
    """

    hit: jax.Array
    guessed: jax.Array
    true: jax.Array


def overlap(probs: jax.Array, labels: jax.Array) -> Overlap:
    """Counts the true pixels of every class, the predicted pixels, and those that are both.

    >>> pixels = overlap(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]), jnp.array([[0, -1]]))
    >>> pixels.hit.tolist(), pixels.guessed.tolist(), pixels.true.tolist()
    ([[0.75, 0.0]], [[0.75, 0.25]], [[1.0, 0.0]])
    """
    axes = tuple(range(1, labels.ndim))
    truth = jax.nn.one_hot(labels, probs.shape[-1])  # zeros for the label -1
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
    """Computes the Tversky loss `1 - hit / (hit + alpha wrong + beta missed)` of each image, averaged over classes.

    `hit` counts the true pixels that are predicted, `wrong` the predicted pixels that are not true, and `missed` the
    true pixels that are not predicted. With a larger beta the network misses fewer pixels.

    Source: Salehi et al., Tversky Loss Function for Image Segmentation, MLMI 2017.

    Args:
      probs: probabilities `[B, ..., K]`.
      labels: `[B, ...]` int32 in 0..K-1, -1 = ignored.
      alpha: weight of wrong pixels.
      beta: weight of missed pixels.
      classes: classes that count, such as `(1,)` for the foreground of a binary mask; all if left out.

    Returns:
      Losses `[B]`, in 0..1.

    Raises:
      ValueError: `classes` is empty or has a number outside 0..K-1.

    >>> round(float(tversky(jnp.array([[[0.0, 1.0], [0.5, 0.5]]]), jnp.array([[1, 1]]))[0]), 4)  # 1 - 1.5 / 1.85
    0.1892
    """
    hit, guessed, true = overlap(probs, labels)
    whole = hit + alpha * (guessed - hit) + beta * (true - hit)
    counts = (true > 0) & _chosen(classes, probs.shape[-1])
    lost = jnp.where(counts, 1 - hit / jnp.where(counts, whole, 1), 0)
    return lost.sum(-1) / jnp.maximum(counts.sum(-1), 1)


def dice(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes the Dice loss `1 - 2 hit / (guessed + true)` of each image, averaged over classes, `[B]`.

    It equals `tversky` with alpha = beta = 1/2; see `Overlap` for the counts.

    `optax.losses.dice_loss` also returns a value for each image, but differs in four ways. It counts ignored pixels
    (targets of zeros) as wrong predictions, it averages over all classes, even those that an image lacks, it adds 1 to
    the numerator and the denominator, and it does not accept probabilities under `jit`.

    Source: Milletari et al., V-Net, 3DV 2016, without the squares in the denominator.

    Args: as in `tversky`.

    >>> dice(jnp.array([[[0.0, 1.0], [0.0, 1.0]]]), jnp.array([[1, 0]]), classes=(1,)).round(4).tolist()  # 1 - 2 / 3
    [0.33329999446868896]
    """
    return tversky(probs, labels, alpha=0.5, beta=0.5, classes=classes)


def jaccard(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes the Jaccard loss `1 - hit / (guessed + true - hit)`, 1 minus the IoU, averaged over classes, `[B]`.

    See `Overlap` for the counts.

    Source: Rahman and Wang, Optimizing Intersection-over-Union in Deep Neural Networks, ISVC 2016.

    Args: as in `tversky`.

    >>> jaccard(jnp.array([[[0.0, 1.0], [0.0, 1.0]]]), jnp.array([[1, 0]]), classes=(1,)).tolist()
    [0.5]
    """
    return tversky(probs, labels, alpha=1.0, beta=1.0, classes=classes)


def generalised_dice(probs: jax.Array, labels: jax.Array, *, classes: Sequence[int] | None = None) -> jax.Array:
    """Computes the generalised Dice loss of each image, `[B]`, which gives rare classes more weight.

    The loss is `1 - 2 sum_k w_k hit_k / sum_k w_k (guessed_k + true_k)` with `w_k = 1 / true_k^2`; see `Overlap` for
    the counts.

    Source: Sudre et al., Generalised Dice Overlap as a Deep Learning Loss Function, DLMIA 2017.

    Args: as in `tversky`.

    >>> probs = jnp.array([[[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]])
    >>> round(float(generalised_dice(probs, jnp.array([[0, 0, 1]]))[0]), 4)  # 1 - 2 (2 / 4 + .5) / (4.5 / 4 + 1.5)
    0.2381
    """
    hit, guessed, true = overlap(probs, labels)
    counts = (true > 0) & _chosen(classes, probs.shape[-1])
    weight = jnp.where(counts, 1 / jnp.where(counts, true, 1) ** 2, 0)
    whole = (weight * (guessed + true)).sum(-1)
    any_counts = counts.any(-1)
    return jnp.where(any_counts, 1 - 2 * (weight * hit).sum(-1) / jnp.where(any_counts, whole, 1), 0)


def _chosen(classes: Sequence[int] | None, k: int) -> jax.Array:
    """Returns a mask `[k]` of the classes that count.

    Raises:
      ValueError: `classes` is empty or has a number outside 0..k-1.
    """
    if classes is None:
        return jnp.ones(k, bool)
    if not classes or not all(0 <= number < k for number in classes):
        raise ValueError(f"classes must be one or more numbers in 0..{k - 1}, found {tuple(classes)}")
    return jnp.zeros(k, bool).at[jnp.array(tuple(classes))].set(True)


REGIONS: dict[str, Callable[..., jax.Array]] = {
    "dice": dice,
    "generalised_dice": generalised_dice,
    "jaccard": jaccard,
    "tversky": tversky,
}
"""Losses of regions by name. A task passes its fields as the keyword arguments of the same names."""
