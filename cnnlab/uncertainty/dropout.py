"""Stochastic passes: switches on the dropout of any Linen network without changing its code."""

import contextlib
from collections.abc import Callable, Iterator

import flax.linen as nn
import jax

from cnnlab import nn as cnn
from cnnlab.anatomy.calls import module_calls
from cnnlab.kernels.dropout_mask import drop
from cnnlab.nn.apply import Variables
from cnnlab.nn.taps import first_input, tap
from cnnlab.trained import Trained


def sampled_logits(
    network: nn.Module, variables: Variables, x: jax.Array, key: jax.Array, *, visit: Callable | None = None
) -> jax.Array:
    """Computes one stochastic pass: every `nn.Dropout` with a rate above 0 drops, all other layers are as in inference.

    The dropout layers are intercepted, so the network needs no switch, and batch norm uses its running averages.

    Source: Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016.

    Args:
      network: any Linen module.
      variables: the network's variables.
      x: normalised images `[B, H, W, C]`.
      key: random key of this pass.
      visit: callback that gets every module at each of its calls.

    Returns:
      Logits `[B, ...]` float32.
    """

    def sample(module: nn.Module, call, args, kwargs):
        if visit is not None:
            visit(module)
        if not is_active(module):
            return call(*args, **kwargs)
        mask_key = module.make_rng(module.rng_collection)
        return drop(first_input(args, kwargs), mask_key, module.rate, shared=tuple(module.broadcast_dims))

    streams = {"dropout": key, "params": key}  # Flax uses the stream "params" for streams of other names
    with tap(sample):
        return cnn.apply(network, variables, x, rngs=streams)


def is_active(module: nn.Module) -> bool:
    """Returns whether a module is a dropout layer with a rate above 0."""
    return isinstance(module, nn.Dropout) and module.rate > 0


def has_dropout(trained: Trained) -> bool:
    """Returns whether a network has an active dropout layer, so that its stochastic passes differ."""
    return any(call.rate for call in module_calls(trained))


def require_dropout(network: nn.Module, variables: Variables, x: jax.Array) -> None:
    """Raises `ValueError`, with what to do, if no dropout is active, because the variance would be 0."""
    with met_dropout(network) as visit:
        jax.eval_shape(
            lambda v, images, key: sampled_logits(network, v, images, key, visit=visit), variables, x, jax.random.key(0)
        )


@contextlib.contextmanager
def met_dropout(network: nn.Module) -> Iterator[Callable[[nn.Module], None]]:
    """Yields a callback for `sampled_logits(visit=...)`; on exit raises `ValueError` unless it saw active dropout."""
    inactive, active = [], []

    def visit(module: nn.Module) -> None:
        if isinstance(module, nn.Dropout):
            (active if is_active(module) else inactive).append("/".join(module.path) or "the network itself")

    yield visit
    if not active:
        name = type(network).__name__
        why = f"{', '.join(inactive[:3])} of rate 0" if inactive else "it has no flax.linen.Dropout"
        flags = {"dropout": "--model.dropout 0.5", "spatial_dropout": "--model.spatial-dropout 0.1"}
        flag = next((flag for field, flag in flags.items() if hasattr(network, field)), None)
        cure = f"train again with {flag}" if flag else "choose a network with dropout"
        raise ValueError(
            f"no dropout is active in {name} ({why}), so all passes would be the same: leave --mc out, {cure}, or give "
            "several runs, whose predictions are averaged"
        )
