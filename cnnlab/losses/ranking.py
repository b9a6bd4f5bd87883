"""Losses of order: of two scores the right one is larger, of two images the one of the same class is nearer."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def margin_ranking(first: jax.Array, second: jax.Array, order: jax.Array, *, margin: float = 0.0) -> jax.Array:
    """Computes `max(0, margin - order (first - second))`, elementwise.

    The loss is 0 where the score that should be larger leads by the margin.

    Source: Joachims, Optimizing Search Engines using Clickthrough Data, KDD 2002, whose slack of a pair this is; the
    name is torch's.

    Args:
      first: scores `[...]`.
      second: scores `[...]`.
      order: `[...]`, 1 where the first score should be larger, -1 where the second should; 0 is ignored and has the
        loss 0.
      margin: lead from which a pair costs nothing.

    >>> margin_ranking(jnp.array([2.0, 2.0]), jnp.array([1.5, 1.5]), jnp.array([1, -1]), margin=1.0).tolist()
    [0.5, 1.5]
    """
    return jnp.where(order == 0, 0.0, jax.nn.relu(margin - order * (first - second)))


def pairwise_distances(embeddings: jax.Array) -> jax.Array:
    """Computes the Euclidean distances between all pairs of vectors, `[B, D]` to `[B, B]`.

    The gradient of the distance of equal vectors is 0. Differences are squared one by one, because a product of
    matrices would round the small distances of the first steps away.

    >>> pairwise_distances(jnp.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    square = ((embeddings[:, None] - embeddings) ** 2).sum(-1)
    apart = square > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


def triplet(
    embeddings: jax.Array, labels: jax.Array, *, margin: float = 0.2, choice: str = "all"
) -> tuple[jax.Array, jax.Array]:
    """Computes the triplet loss of each image of a batch, averaged over the images of its class.

    The loss of an anchor, a positive (another image of its class) and a negative (an image of another class) is
    `max(0, |anchor - positive| - |anchor - negative| + margin)`, the margin ranking loss of two distances.

    Source: Schroff et al., FaceNet: A Unified Embedding for Face Recognition and Clustering, CVPR 2015, section 3.1.
    The distances are not squared as there: the gradient of a squared distance vanishes while all embeddings lie close
    together, as they do at first (Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017).

    Args:
      embeddings: `[B, D]`, in the paper of length 1.
      labels: `[B]` int32; an image of label -1 is ignored.
      margin: distance by which negatives should be farther away than positives.
      choice: which negatives of an anchor and a positive count, a name in `TRIPLETS`.

    Returns:
      Losses `[B]`, each the mean over the anchor's positives, and weights `[B]`: 1 for an anchor with a positive and a
      negative, 0 for any other, whose loss is 0. Memory grows with `B^3`.

    >>> value, weight = triplet(jnp.array([[0.0], [1.0], [1.5]]), jnp.array([0, 0, 1]), margin=0.25)
    >>> value.tolist(), weight.tolist()
    ([0.0, 0.75, 0.0], [1.0, 1.0, 0.0])
    """
    known = (labels >= 0) & (labels >= 0)[:, None]
    alike = labels == labels[:, None]
    positive = known & alike & ~jnp.eye(len(labels), dtype=bool)
    negative = known & ~alike
    loss = TRIPLETS[choice](pairwise_distances(embeddings), negative, margin=margin)
    pairs = (positive & negative.any(-1, keepdims=True)).astype(jnp.float32)
    count = pairs.sum(-1)
    return (loss * pairs).sum(-1) / jnp.maximum(count, 1), (count > 0).astype(jnp.float32)


def all_negatives(distances: jax.Array, negative: jax.Array, *, margin: float) -> jax.Array:
    """Computes the loss of each anchor and positive, `[B, B]`, averaged over all negatives of the anchor.

    Args:
      distances: `[B, B]`, from each anchor (row) to each image.
      negative: `[B, B]` bool, the negatives of each anchor.
      margin: distance by which negatives should be farther away than positives.
    """
    loss = margin_ranking(distances[:, None, :], distances[:, :, None], jnp.ones(()), margin=margin)
    weight = negative[:, None, :].astype(jnp.float32)
    return (loss * weight).sum(-1) / jnp.maximum(weight.sum(-1), 1)


def semi_hard_negatives(distances: jax.Array, negative: jax.Array, *, margin: float) -> jax.Array:
    """Computes the loss of each anchor and positive, `[B, B]`, with one negative.

    It is the nearest negative that is farther away than the positive or, if there is none, the farthest negative.
    Nearer ones can pull all embeddings to one point early in training (Schroff et al., section 3.2).

    Args:
      distances: `[B, B]`, from each anchor (row) to each image.
      negative: `[B, B]` bool, the negatives of each anchor.
      margin: distance by which negatives should be farther away than positives.
    """
    to_negative = distances[:, None, :]
    farther = negative[:, None, :] & (to_negative > distances[:, :, None])
    nearest = jnp.where(farther, to_negative, jnp.inf).min(-1)
    farthest = jnp.where(negative, distances, 0.0).max(-1, keepdims=True)
    return margin_ranking(jnp.where(farther.any(-1), nearest, farthest), distances, jnp.ones(()), margin=margin)


TRIPLETS: dict[str, Callable[..., jax.Array]] = {
    "all": all_negatives,
    "semi_hard": semi_hard_negatives,
}
"""Choices of the negatives of an anchor and a positive, by name."""
