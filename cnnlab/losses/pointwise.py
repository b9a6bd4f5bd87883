"""Losses of single elements: a label, a yes or no, a number."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Computes the cross-entropy of integer labels in nats: `-sum_k y_k log softmax(logits)_k`.

    Args:
      logits: `[..., K]`.
      labels: `[...]` int32 in 0..K-1; -1 is ignored and gives 0.
      label_smoothing: this share of the target spreads evenly over all K classes (Szegedy et al. 2016, section 7).

    Returns:
      `[...]` float32.

    >>> round(float(cross_entropy(jnp.zeros((1, 10)), jnp.array([3]))[0]), 4)  # log 10
    2.3026
    """
    target = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return jnp.where(labels >= 0, optax.softmax_cross_entropy(logits, target), 0.0)


def focal(logits: jax.Array, labels: jax.Array, *, gamma: float = 2.0) -> jax.Array:
    """Computes the focal loss `-(1 - p)^gamma log p` in nats, with p the label's probability: easy examples count less.

    The paper's alpha is a weight a class: multiply by it. One sigmoid z is the logits `[0, z]`.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4.

    Args:
      logits: `[..., K]`.
      labels: `[...]` int32 in 0..K-1; -1 is ignored and gives 0.
      gamma: 0 gives the cross-entropy.

    Returns:
      `[...]` float32; it and its gradient are finite for logits of any size.

    >>> round(float(focal(jnp.zeros((1, 2)), jnp.array([1]))[0]), 4)  # (log 2) / 4
    0.1733
    """
    mine = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    log_others = jax.nn.log_softmax(logits)
    log_p = jnp.where(mine, log_others, 0).sum(-1)
    # log(1 - p) from the other classes: 1 - p itself would be 0 in float32 from a margin of 17 on.
    log_rest = jax.nn.logsumexp(jnp.where(mine, _NEVER, log_others), -1)
    return jnp.where(labels >= 0, -jnp.exp(gamma * log_rest) * log_p, 0.0)


_NEVER = -1e9  # a logarithm of no chance at all, whose multiples are finite, as those of -inf are not


def binary_cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Computes the cross-entropy of targets 0 and 1 under a sigmoid, in nats.

    Args:
      logits: `[...]`.
      labels: `[...]` in 0..1; -1 is ignored and gives 0.
      label_smoothing: labels move this far towards one half.

    Returns:
      `[...]` float32, finite for logits of any size.

    >>> round(float(binary_cross_entropy(jnp.zeros(()), jnp.ones(()))), 4)  # log 2
    0.6931
    """
    labels = jnp.asarray(labels)
    target = labels * (1 - label_smoothing) + label_smoothing / 2
    return jnp.where(labels >= 0, optax.sigmoid_binary_cross_entropy(logits, target), 0.0)


def squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `(prediction - target)^2`, elementwise."""
    return optax.squared_error(predictions, targets)


def huber(predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0) -> jax.Array:
    """Computes `e^2 / 2` for an error e within `delta`, and `delta (|e| - delta / 2)` beyond (Huber 1964).

    >>> huber(jnp.array([0.5, 3.0]), jnp.zeros(2)).tolist()
    [0.125, 2.5]
    """
    return optax.huber_loss(predictions, targets, delta=delta)


def absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `|prediction - target|`, elementwise (L1)."""
    return jnp.abs(predictions - targets)


def gaussian_negative_log_likelihood(mean: jax.Array, log_variance: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `(log v + (target - mean)^2 / v + log 2 pi) / 2`, elementwise, in nats, with `v = exp(log_variance)`.

    Source: Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994; with the
    logarithm as the output as in Kendall and Gal, NeurIPS 2017, equation 8.

    >>> round(float(gaussian_negative_log_likelihood(jnp.zeros(()), jnp.zeros(()), jnp.ones(()))), 4)
    1.4189
    """
    return (log_variance + (targets - mean) ** 2 * jnp.exp(-log_variance) + jnp.log(2 * jnp.pi)) / 2


PIXELS: dict[str, Callable[..., jax.Array]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
}
"""Losses of pixels by name. A task passes its fields to their keyword parameters of the same name."""

POINTWISE: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "mse": squared_error,
    "huber": huber,
    "l1": absolute_error,
}
"""Losses of regression by name."""
