"""Losses of single elements: class labels, binary labels and numbers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Computes the cross-entropy of integer labels in nats: `-sum_k y_k log softmax(logits)_k`.

    Source: Bridle, Training Stochastic Model Recognition Algorithms as Networks, NeurIPS 1989.

    Args:
      logits: `[..., K]`.
      labels: `[...]` int32 in 0..K-1; -1 is ignored and has the loss 0.
      label_smoothing: share of the target that is spread evenly over all K classes (Szegedy et al. 2016, section 7).

    Returns:
      Losses `[...]` float32, finite for logits of any size.

    >>> round(float(cross_entropy(jnp.zeros((1, 10)), jnp.array([3]))[0]), 4)  # log 10
    2.3026
    """
    target = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return jnp.where(labels >= 0, optax.softmax_cross_entropy(logits, target), 0.0)


def focal(logits: jax.Array, labels: jax.Array, *, gamma: float = 2.0) -> jax.Array:
    """Computes the focal loss, a cross-entropy in which easy examples count less.

    The loss is `-(1 - p)^gamma log p` in nats, where p is the probability of the label. For the paper's alpha, which is
    a weight per class, multiply by `class_weights`. For a binary loss of a single logit z pass the logits `[0, z]`.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4.

    Args:
      logits: `[..., K]`.
      labels: `[...]` int32 in 0..K-1; -1 is ignored and has the loss 0.
      gamma: exponent; 0 gives the cross-entropy.

    Returns:
      Losses `[...]` float32. Values and gradients are finite for logits of any size.

    >>> round(float(focal(jnp.zeros((1, 2)), jnp.array([1]))[0]), 4)  # (log 2) / 4
    0.1733
    """
    is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    log_probs = jax.nn.log_softmax(logits)
    log_p = jnp.where(is_label, log_probs, 0).sum(-1)
    # log(1 - p) is summed over the other classes: in float32 1 - p itself is 0 once the label leads by 17.
    log_rest = jax.nn.logsumexp(jnp.where(is_label, _NEVER, log_probs), -1)
    return jnp.where(labels >= 0, -jnp.exp(gamma * log_rest) * log_p, 0.0)


_NEVER = -1e9  # the logarithm of probability 0; unlike -inf it stays finite when multiplied


def binary_cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Computes the cross-entropy of targets 0 and 1 under a sigmoid, `-y log p - (1 - y) log(1 - p)`, in nats.

    The probability p is the sigmoid of the logit.

    Source: Cox, The Regression Analysis of Binary Sequences, JRSS B 1958.

    Args:
      logits: `[...]`.
      labels: `[...]` in 0..1; -1 is ignored and has the loss 0.
      label_smoothing: share of the distance to one half by which the labels move towards it.

    Returns:
      Losses `[...]` float32, finite for logits of any size.

    >>> round(float(binary_cross_entropy(jnp.zeros(()), jnp.ones(()))), 4)  # log 2
    0.6931
    """
    labels = jnp.asarray(labels)
    target = labels * (1 - label_smoothing) + label_smoothing / 2
    return jnp.where(labels >= 0, optax.sigmoid_binary_cross_entropy(logits, target), 0.0)


def squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `(prediction - target)^2`, elementwise (L2).

    Source: Gauss, Theoria motus, 1809, book 2, section 3: the best loss for normal errors.

    Args:
      predictions: `[...]`.
      targets: `[...]`.

    >>> squared_error(jnp.array([0.5, 3.0]), jnp.zeros(2)).tolist()
    [0.25, 9.0]
    """
    return optax.squared_error(predictions, targets)


def huber(predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0) -> jax.Array:
    """Computes `e^2 / 2` for errors e up to `delta`, and `delta (|e| - delta / 2)` for larger ones, elementwise.

    Source: Huber, Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 1964.

    Args:
      predictions: `[...]`.
      targets: `[...]`.
      delta: error from which the loss grows linearly, in the unit of the targets, above 0.

    >>> huber(jnp.array([0.5, 3.0]), jnp.zeros(2)).tolist()
    [0.125, 2.5]
    """
    return optax.huber_loss(predictions, targets, delta=delta)


def absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes `|prediction - target|`, elementwise (L1).

    Source: Koenker and Bassett, Regression Quantiles, Econometrica 1978: the loss of the quantile 1/2, the median.

    Args:
      predictions: `[...]`.
      targets: `[...]`.

    >>> absolute_error(jnp.array([0.5, -3.0]), jnp.zeros(2)).tolist()
    [0.5, 3.0]
    """
    return jnp.abs(predictions - targets)


def gaussian_negative_log_likelihood(mean: jax.Array, log_variance: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the negative log-likelihood of targets under a normal distribution, elementwise, in nats.

    The loss is `(log v + (target - mean)^2 / v + log 2 pi) / 2` with `v = exp(log_variance)`.

    Source: Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994. The network
    predicts the logarithm of the variance, as in Kendall and Gal, NeurIPS 2017, equation 8.

    Args:
      mean: `[...]`.
      log_variance: `[...]`; below -88 the float32 variance is 0, and the loss of a wrong mean is infinite.
      targets: `[...]`.

    >>> round(float(gaussian_negative_log_likelihood(jnp.zeros(()), jnp.zeros(()), jnp.ones(()))), 4)
    1.4189
    """
    return (log_variance + (targets - mean) ** 2 * jnp.exp(-log_variance) + jnp.log(2 * jnp.pi)) / 2


PIXELS: dict[str, Callable[..., jax.Array]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
}
"""Losses of pixels by name. A task passes its fields as the keyword arguments of the same names."""

POINTWISE: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "mse": squared_error,
    "huber": huber,
    "l1": absolute_error,
}
"""Regression losses by name."""
