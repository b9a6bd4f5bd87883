"""MC-Dropout: predictions as means over stochastic passes, with their variances and entropies."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import check_images
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs, complete
from cnnlab.trained import Passes, Trained, outputs
from cnnlab.uncertainty.dropout import met_dropout, sampled_logits
from cnnlab.uncertainty.hoist import hoist
from cnnlab.uncertainty.moments import Moments, entropy, moments, mutual_information, standard_errors

TOLERANCE = 0.01  # default standard error of a probability at which `auto` stops
AUTO_LIMIT = 2500  # passes that always reach this tolerance, because a probability's variance is at most 1/4
CPU_CACHE, ACCELERATOR_MEMORY = 7 << 20, 1 << 30  # bytes for the largest array of a chunk of passes


def mc_moments(
    trained: Trained,
    images: jax.Array,
    key: jax.Array,
    *,
    num_samples: Passes,
    chunk: int | None = None,
    tolerance: float = TOLERANCE,
    keep: bool = False,
) -> Moments:
    """Computes the moments of the linked outputs over stochastic passes.

    Everything before the first dropout is computed once. This function is not jitted; its caller compiles it.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1].
      key: random key; pass t draws its masks from `fold_in(key, t)`.
      num_samples: number of passes, or `auto`, as in `mc_predict`.
      chunk: number of passes computed at a time, as in `mc_predict`.
      tolerance: standard error at which `auto` stops, as in `mc_predict`.
      keep: whether to return the samples too.

    Raises:
      ValueError: no dropout is active (the error says what to do), or an argument is out of range.
    """
    auto = isinstance(num_samples, str) and num_samples == "auto"
    if not auto and (not isinstance(num_samples, int | np.integer) or num_samples < 1):
        raise ValueError(f"num_samples must be an integer of 1 or more, or 'auto', found {num_samples!r}")
    if auto and not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, found {tolerance}")
    if chunk is not None and not chunk >= 1:
        raise ValueError(f"chunk must be 1 or more, found {chunk}")
    network = trained.network
    with met_dropout(network) as visit:

        def one_pass(key: jax.Array) -> Outputs:
            return outputs(trained, images, forward=functools.partial(sampled_logits, key=key, visit=visit))

        sample, largest = hoist(one_pass, key)
    if not largest:
        raise ValueError(
            f"the dropout of {type(network).__name__} does not reach its output, so every pass would be the same and "
            "the variance 0; give it a rate above 0 and below 1, and use what it returns"
        )
    limit, tolerance = (AUTO_LIMIT, tolerance) if auto else (int(num_samples), None)
    chunk = chunk or fitting_chunk(largest)
    unit = _unit(trained)
    return moments(sample, key, num_samples=limit, chunk=chunk, tolerance=tolerance, unit=unit, keep=keep)


def mc_predict(
    trained: Trained,
    images: jax.Array,
    *,
    key: jax.Array,
    num_samples: Passes = 50,
    chunk: int | None = None,
    tolerance: float = TOLERANCE,
    return_samples: bool = False,
) -> Prediction:
    """Predicts images by the mean over passes with dropout on, and measures how much the passes disagree.

    Source: Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016; mutual information as in Houlsby et
    al., Bayesian Active Learning, 2011.

    Args:
      trained: the network; it must contain an active `flax.linen.Dropout`.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      key: random key; the same key gives the same prediction, whatever the chunk.
      num_samples: number of passes T, 1 or more. `auto` adds ten passes at a time until the standard error of every
        probability is within the tolerance, with at most 2,500 passes; check `standard_error`. With a tolerance of .01
        it takes at least 50 passes, because a few passes may agree by chance, and 2,500 passes always suffice.
      chunk: number of passes computed at a time; by default as many as fit `fitting_chunk`'s memory.
      tolerance: largest standard error of a probability at which `auto` stops; for a regression's value, in standard
        deviations of the training targets.
      return_samples: whether to return the linked outputs of each pass, which needs T times the memory; not with
        `auto`.

    Returns:
      The prediction of `predict`, decoded from the mean, with these entries:
      `mean`, `variance`: E[y] and 1/T sum y^2 - E[y]^2 of the linked outputs: an array if the task links to one array
      (`probs`, `value`), otherwise a dict by name (detection);
      `entropy`, `expected_entropy`, `mutual_information`: in nats, for tasks with class probabilities: the entropy of
      the mean, its aleatoric part (the mean of the entropies) and its epistemic part (the difference);
      `variation_ratio`: for tasks with class probabilities, the share of passes that do not vote for the class with the
      most votes;
      `standard_error`: the largest standard error of an example's mean probabilities, or, without probabilities, of its
      means in the units of `tolerance`; meaningless for a single pass;
      `num_samples`: T, the same for every image; and `samples` `[B, T, ...]`, if requested.

    Raises:
      ValueError: no dropout is active (the error says what to do), or an argument is out of range.

    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> from cnnlab.data import InputSpec
    >>> import jax.numpy as jnp
    >>> net = create_model("lenet5", num_classes=2, dropout=0.5)
    >>> images = jnp.ones((3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> mc = mc_predict(trained, images, key=jax.random.key(1), num_samples=8)
    >>> mc.mean.shape, mc.variance.shape, mc.entropy.shape, bool((mc.mutual_information >= 0).all())
    ((3, 2), (3, 2), (3,), True)
    """
    check_images(images, trained.spec, any_size=trained.any_size, any_width=trained.any_width)
    if isinstance(key, int | np.integer):
        raise ValueError(f"key must be a random key, found {key}; give jax.random.key({key})")
    return _mc_predict(trained, images, key, num_samples, chunk, tolerance, return_samples)


def warn_of_limit(standard_error: float) -> None:
    """Warns if the standard error is above the default tolerance after the largest number of `auto` passes."""
    if standard_error > TOLERANCE:
        warnings.warn(
            f"after {AUTO_LIMIT:,} passes the largest standard error of a mean is {standard_error:.3g}, above the "
            f"tolerance of {TOLERANCE}",
            stacklevel=3,
        )


def fitting_chunk(largest: int) -> int:
    """Returns the number of passes per chunk whose largest array best fits a CPU's cache or an accelerator's memory.

    On a CPU, larger chunks save loop iterations, but slow down once their arrays no longer fit the cache.

    Args:
      largest: bytes of the largest array of one pass that depends on the key.
    """
    budget = CPU_CACHE if jax.default_backend() == "cpu" else ACCELERATOR_MEMORY
    return max(1, round(budget / max(largest, 1)))


@jit(static_argnames=("num_samples", "chunk", "tolerance", "keep"))
def _mc_predict(
    trained: Trained,
    images: jax.Array,
    key: jax.Array,
    num_samples: Passes,
    chunk: int | None,
    tolerance: float,
    keep: bool,
) -> Prediction:
    options = {"num_samples": num_samples, "chunk": chunk, "tolerance": tolerance, "keep": keep}
    return summarise(trained, mc_moments(trained, images, key, **options))


def summarise(trained: Trained, stats: Moments) -> Prediction:
    """Decodes the mean to a prediction, and adds the entries that `mc_predict` documents."""
    prediction = Prediction(trained.task.decode(stats.mean), mean=_single(stats.mean), variance=_single(stats.variance))
    prediction |= {"num_samples": jnp.broadcast_to(stats.count, len(jax.tree.leaves(stats.mean)[0]))}
    deviation = jax.tree.map(lambda leaf: leaf * stats.count, stats.variance)
    errors = standard_errors(deviation, stats.count, _unit(trained))
    prediction |= {"standard_error": jnp.stack([leaf.reshape(len(leaf), -1).max(1) for leaf in errors]).max(0)}
    if stats.samples is not None:
        prediction |= {"samples": _single(jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), stats.samples))}
    if stats.expected_entropy is not None:
        total = entropy(stats.mean["probs"])
        prediction |= {
            "entropy": total,
            "expected_entropy": stats.expected_entropy,
            "mutual_information": mutual_information(total, stats.expected_entropy),
            "variation_ratio": 1 - stats.votes.max(-1),
        }
    return prediction


def _unit(trained: Trained) -> Any:
    return complete(trained.task).unit()


def _single(outputs: Any) -> Any:
    """Returns the only array of linked outputs that hold one array; returns any other outputs unchanged."""
    leaves = jax.tree.leaves(outputs)
    return leaves[0] if len(leaves) == 1 else outputs
