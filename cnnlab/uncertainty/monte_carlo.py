"""MC-Dropout: the answer as a mean over stochastic passes, with its variance and entropies."""

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

TOLERANCE = 0.01  # of auto: the standard error of a probability
AUTO_LIMIT = 2500  # passes: enough for it, as the variance of a probability is at most 1/4
CPU_CACHE, ACCELERATOR_MEMORY = 7 << 20, 1 << 30  # bytes


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
    """Moments of what the task links each stochastic pass to; a plain function, to be compiled by its caller.

    What lies before the first dropout is computed once.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1].
      key: pass t draws its masks from `fold_in(key, t)`.
      num_samples: passes, or `auto`; as in `mc_predict`, with the rest.
      chunk: likewise.
      tolerance: likewise.
      keep: return the samples too.

    Raises:
      ValueError: no dropout is active (the layers looked at are named), or an argument is out of range.
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
    """The answer averaged over passes with dropout on, and how much the passes disagree.

    Source: Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016; mutual information as in Houlsby et
    al., Bayesian Active Learning, 2011.

    Args:
      trained: the network; it must hold an active `flax.linen.Dropout`.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      key: the same key gives the same answer, whatever the chunk.
      num_samples: passes T, 1 or more; `auto` takes tens of them until every probability's standard error is within
        the tolerance, at most 2,500 (`standard_error` tells); of probabilities, since few may agree by chance, 50 or
        more for .01, for which 2,500 are always enough.
      chunk: passes computed at a time; as many as fit `fitting_chunk`'s memory, if left out.
      tolerance: of `auto`: the largest standard error of a probability; of a regression's value in standard deviations
        of the training targets.
      return_samples: keep what the task links each pass to, at T times the memory; not with `auto`.

    Returns:
      What `predict` returns, decoded from the mean, and
      `mean`, `variance`: E[y] and 1/T sum y^2 - E[y]^2 of what the task links a pass to: an array where that is one
      (`probs`, `value`), a dict by name otherwise (detection);
      `entropy`, `expected_entropy`, `mutual_information`: of the class probabilities, where there are any: the
      entropy of the mean, its aleatoric part (the mean of the entropies) and its epistemic part (the rest), in nats;
      `variation_ratio`: the share of passes that do not vote for the most voted class;
      `standard_error`: the largest one of an example's means, of its probabilities where there are any, otherwise as
      in `tolerance`; of one pass alone it tells nothing;
      `num_samples`: T, the same for every image; and `samples` `[B, T, ...]`, if asked for.

    Raises:
      ValueError: no dropout is active (the layers looked at are named), or an argument is out of range.

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
    check_images(images, trained.spec, any_size=trained.any_size)
    return _mc_predict(trained, images, key, num_samples, chunk, tolerance, return_samples)


def warn_of_limit(standard_error: float) -> None:
    """Says so where `auto` took all the passes it may and a mean is still less certain than asked for."""
    if standard_error > TOLERANCE:
        warnings.warn(
            f"after {AUTO_LIMIT:,} passes the largest standard error of a mean is {standard_error:.3g}, above the "
            f"tolerance of {TOLERANCE}",
            stacklevel=3,
        )


def fitting_chunk(largest: int) -> int:
    """Passes at a time whose largest array, of so many bytes in one pass, comes nearest to the memory that pays.

    On a CPU that is its cache, and a turn of the loop has its own price. In ms, 50 passes by 1 / 2 / 5 / 10 / 25 / 50
    cost LeNet5 (batch 128) with dropout in its head (61 kB) 3.0 / 2.5 / 2.3 / 2.3 / 2.1 / 1.9, with spatial dropout
    after its convolutions (4.6 MB of patches) 42 / 25 / 42 / 53 / 70 / 76, and on 32 images (1.2 MB) 18 / 8.6 / 6.8 /
    6.6 / 12 / 16 (two cores of an AMD EPYC, 2026-11-23).
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


def summarise(trained: Trained, found: Moments) -> Prediction:
    """The decoded mean with `mean`, `variance`, `num_samples`, `standard_error` and, where there are probabilities, the
    entropies."""
    prediction = Prediction(trained.task.decode(found.mean), mean=_single(found.mean), variance=_single(found.variance))
    prediction |= {"num_samples": jnp.broadcast_to(found.count, len(jax.tree.leaves(found.mean)[0]))}
    deviation = jax.tree.map(lambda leaf: leaf * found.count, found.variance)
    errors = standard_errors(deviation, found.count, _unit(trained))
    prediction |= {"standard_error": jnp.stack([leaf.reshape(len(leaf), -1).max(1) for leaf in errors]).max(0)}
    if found.samples is not None:
        prediction |= {"samples": _single(jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), found.samples))}
    if found.expected_entropy is not None:
        total = entropy(found.mean["probs"])
        prediction |= {
            "entropy": total,
            "expected_entropy": found.expected_entropy,
            "mutual_information": mutual_information(total, found.expected_entropy),
            "variation_ratio": 1 - found.votes.max(-1),
        }
    return prediction


def _unit(trained: Trained) -> Any:
    return complete(trained.task).unit()


def _single(outputs: Any) -> Any:
    """The one array of a task that links to one, all of them otherwise."""
    leaves = jax.tree.leaves(outputs)
    return leaves[0] if len(leaves) == 1 else outputs
