"""One step of training: a pure function, the same for every task, network and number of devices."""

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
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Task

Metrics = dict[str, jax.Array]
Batch = Mapping[str, jax.Array]


@struct.dataclass
class State:
    """All that training changes.

    Attributes:
      step: steps taken, int32.
      params: trained variables.
      stats: other variables, such as batch statistics.
      optimizer: the optimizer's own.
      average: a moving average of all variables, where one is kept.
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
    """The state before the first step, for images shaped like these; `ema` as in `train_step`."""

    @jit  # LeNet5 takes .3 s, found compiled; op by op 6
    def create(images: jax.Array, key: jax.Array) -> State:
        return start(cnn.init(network, as_float(images), key), optimizer, ema=ema)

    return create(images, key)


def start(variables: Any, optimizer: optax.GradientTransformation, *, ema: float | None = None) -> State:
    """The state before the first step from these variables."""
    stats = {name: value for name, value in variables.items() if name != "params"}
    average = jax.tree.map(jnp.copy, variables) if ema else None  # copied, as states are donated
    return State(jnp.zeros((), jnp.int32), variables["params"], stats, optimizer.init(variables["params"]), average)


def scale(batch: Batch, key: jax.Array) -> Batch:
    """The default preparation: uint8 images to [0, 1], nothing random."""
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
    ema: float | None = None,
) -> tuple[State, Metrics]:
    """The state after one gradient step, and the step's metrics.

    Args:
      state: before the step.
      batch: `image` `[B, H, W, C]`, what the task reads, and `weight` `[B]` (all 1 if left out).
      network: any Linen module.
      task: gives each example's loss and weight.
      optimizer: an optax transformation.
      key: of the whole run; the step folds its number in, so keys are derived and never stored.
      prepare: `(batch, key) -> batch` on the device: normalisation and augmentation.
      trainable: layers whose parameters get gradients; all if left out.
      ema: decay of the moving average of all variables; none is kept if left out.

    Returns:
      `(state, {"loss", "grad_norm"})`; the loss is the weighted mean over the batch.
    """
    prepare_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
    batch = prepare(batch, prepare_key)

    def objective(params):
        with frozen.frozen_batch_norms(trainable):
            logits, stats = cnn.apply(
                network,
                {"params": frozen.hold(params, trainable), **state.stats},
                batch["image"],
                train=True,
                rngs={"dropout": dropout_key, "params": dropout_key},  # "params" serves streams of other names
                mutable=list(state.stats),
            )
        value, weight = task.loss(logits, batch)
        weight = weight * batch.get("weight", 1.0)
        return (value * weight).sum() / jnp.maximum(weight.sum(), 1e-9), stats

    (loss, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradients)}
    average = _averaged(state, {"params": params, **stats}, ema) if ema else None
    return State(state.step + 1, params, stats, optimizer_state, average), metrics


def _averaged(state: State, variables: Any, decay: float) -> Any:
    """`decay * average + (1 - decay) * variables`; the decay grows to its value over the first steps, so that the
    initial values are soon forgotten.

    Batch statistics are averaged too: those of the last steps do not fit averaged parameters (NLL .48 instead of .08
    for `mnist_tiny` at its full rate).
    """
    rate = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    return jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, state.average, variables)
