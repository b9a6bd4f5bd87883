"""The training step, a pure function that serves every task, network and number of devices."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from cnnlab import nn as cnn
from cnnlab.data import as_float
from cnnlab.nn import frozen
from cnnlab.nn.rematerialise import rematerialised
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Task

Metrics = dict[str, jax.Array]
Batch = Mapping[str, jax.Array]
Penalty = Callable[[Any], jax.Array]
"""A function of the parameters that is added to the loss."""


@struct.dataclass
class State:
    """The state of training: all arrays that a training step changes.

    Attributes:
      step: number of steps so far, int32.
      params: parameters.
      stats: other variables, such as batch statistics.
      optimizer: state of the optimizer.
      average: moving average of all variables; None without `ema`.
    """

    step: jax.Array
    params: Any
    stats: Any
    optimizer: Any
    average: Any = None


def create_state(
    network: nn.Module,
    optimizer: optax.GradientTransformation,
    images: jax.Array,
    key: jax.Array,
    *,
    ema: float | None = None,
) -> State:
    """Creates the state before the first step, with random parameters.

    Args:
      network: any Linen module.
      optimizer: optax transformation.
      images: images `[B, H, W, C]`, of which only the shape matters.
      key: random key of the parameters.
      ema: decay of the moving average, as in `train_step`.
    """

    @jit  # one compiled program, because running each operation separately is slow
    def create(images: jax.Array, key: jax.Array) -> State:
        return start(cnn.init(network, as_float(images), key), optimizer, ema=ema)

    return create(images, key)


def start(variables: Any, optimizer: optax.GradientTransformation, *, ema: float | None = None) -> State:
    """Creates the state before the first step from initial variables; `ema` as in `train_step`."""
    stats = {name: value for name, value in variables.items() if name != "params"}
    average = jax.tree.map(jnp.copy, variables) if ema else None  # a copy, because states are donated
    return State(jnp.zeros((), jnp.int32), variables["params"], stats, optimizer.init(variables["params"]), average)


def scale(batch: Batch, key: jax.Array) -> Batch:
    """Scales uint8 images to [0, 1]; the default preparation of a batch, without randomness."""
    del key
    return dict(batch) | {"image": as_float(batch["image"])}


def train_step(
    state: State,
    batch: Batch,
    *,
    network: nn.Module,
    task: Task,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    prepare: Callable[[Batch, jax.Array], Batch] = scale,
    trainable: tuple[str, ...] = (),
    penalty: Penalty | None = None,
    ema: float | None = None,
    remat: bool = False,
) -> tuple[State, Metrics]:
    """Computes one gradient step and returns the new state and the step's metrics.

    Args:
      state: state before the step.
      batch: `image` `[B, H, W, C]`, the columns that the task reads, and optionally `weight` `[B]` (default 1).
      network: any Linen module.
      task: task that computes the loss and weight of each example.
      optimizer: optax transformation.
      key: key of the whole run; the step derives its own key from it and the step's number.
      prepare: function `(batch, key) -> batch` that normalises and augments on the device.
      trainable: layers whose parameters get gradients; by default all.
      penalty: function of the parameters that is added to the loss; by default nothing is added.
      ema: decay of the moving average of all variables; by default there is no average.
      remat: whether the backward pass computes the activations inside each layer again, which saves memory.

    Returns:
      `(state, {"loss", "grad_norm"})`; the loss is the weighted mean over the batch, plus the penalty.
    """
    prepare_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
    batch = prepare(batch, prepare_key)

    def objective(params):
        params = frozen.hold(params, trainable)
        with frozen.frozen_batch_norms(trainable), rematerialised() if remat else contextlib.nullcontext():
            logits, stats = cnn.apply(
                network,
                {"params": params, **state.stats},
                batch["image"],
                train=True,
                rngs={"dropout": dropout_key, "params": dropout_key},  # Flax takes "params" for all other streams
                mutable=list(state.stats),
            )
        value, weight = task.loss(logits, batch)
        weight = weight * batch.get("weight", 1.0)
        loss = (value * weight).sum() / jnp.maximum(weight.sum(), 1e-9)
        return loss if penalty is None else loss + penalty(params), stats

    (loss, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradients)}
    average = _averaged(state, {"params": params, **stats}, ema) if ema else None
    return State(state.step + 1, params, stats, optimizer_state, average), metrics


def _averaged(state: State, variables: Any, decay: float) -> Any:
    """Updates the moving average: `decay * average + (1 - decay) * variables`.

    The decay grows to its value over the first steps, so that the initial values soon lose their weight. Batch
    statistics are averaged too, because the latest statistics do not fit averaged parameters.
    """
    rate = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    return jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, state.average, variables)
