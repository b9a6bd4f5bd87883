"""A network with its variables, task and input spec: one pytree, and what can be asked of it in one pass."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import numpy as np
from flax import struct

from cnnlab import nn as cnn
from cnnlab.data import Examples, InputSpec, check_images, evaluation_batches, normalise
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import Outputs, complete

Passes = int | Literal["auto"]
"""Stochastic passes with dropout on: a number, or as many as each batch needs."""


@struct.dataclass
class Trained:
    """A trained network. Its variables are traced, the rest is static and hashable, so it crosses `jit`.

    Built by `cnnlab.train` and `cnnlab.load`, or by hand from any Linen module:

    >>> import jax.numpy as jnp
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("linear", num_classes=3), InputSpec((4, 4), classes=("a", "b", "c"))
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1))), net, Classification(), spec)
    >>> predict(trained, jnp.zeros((2, 4, 4, 1))).probs.shape
    (2, 3)
    """

    variables: dict[str, Any]
    network: nn.Module = struct.field(pytree_node=False)
    task: Task = struct.field(pytree_node=False)
    spec: InputSpec = struct.field(pytree_node=False)

    @property
    def any_size(self) -> bool:
        """Whether images may have another height and width than those learnt from: it answers each pixel."""
        return complete(self.task).logits == "map"


Forward = Callable[[nn.Module, dict[str, Any], jax.Array], jax.Array]
"""Network, variables and normalised images `[B, H, W, C]` to logits `[B, ...]`."""


def logits(trained: Trained, images: jax.Array, *, forward: Forward = cnn.apply) -> jax.Array:
    """Returns the network's logits `[B, ...]`.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1]; they are normalised here.
      forward: how the network is run; with dropout off, if left out.
    """
    return forward(trained.network, trained.variables, normalise(images, trained.spec))


def outputs(trained: Trained, images: jax.Array, *, forward: Forward = cnn.apply) -> Outputs:
    """Returns what the task links one pass to: probabilities, values, boxes on the grid. Arguments as in `logits`."""
    return trained.task.link(logits(trained, images, forward=forward))


def predict(trained: Trained, images: jax.Array) -> Prediction:
    """The answer for each image, dropout off.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1]; H, W and C as in `trained.spec` (a segmentation
        network takes any height and width that it can halve and double).

    Returns:
      `Prediction`: `.probs` and `.label` for classification, `.value` for regression, `.probs` and `.mask` for
      segmentation, `.boxes`, `.classes` and `.score` for detection.
    """
    check_images(images, trained.spec, any_size=trained.any_size)
    return _predict(trained, images)


@jit
def _predict(trained: Trained, images: jax.Array) -> Prediction:
    return Prediction(trained.task.decode(outputs(trained, images)))


@jit
def one_pass_rows(trained: Trained, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The task's rows of a batch, dropout off."""
    return trained.task.rows(outputs(trained, batch["image"]), batch)


def _real(rows: dict[str, jax.Array], real: np.ndarray) -> dict[str, np.ndarray]:
    return {name: leaf[real] for name, leaf in jax.device_get(rows).items()}


def evaluation_rows(
    trained: Trained,
    examples: Examples,
    *,
    batch_size: int,
    rows=one_pass_rows,
    stop: Callable[[], Any] = bool,
) -> dict[str, np.ndarray] | None:
    """The task's rows of every example, once each and in order, as NumPy.

    Args:
      trained: the network.
      examples: one split.
      batch_size: all batches have it, so `rows` is compiled once.
      rows: `(trained, batch) -> {name: [B, ...]}`; one deterministic pass by default.
      stop: asked before every batch; nothing is returned once it is true.
    """
    kept, pending = [], None
    for batch in evaluation_batches(examples, batch_size=batch_size):
        if stop():
            return None
        started = rows(trained, batch), batch["weight"] > 0
        if pending is not None:
            kept.append(_real(*pending))
        pending = started  # read a batch late, so that no device waits for the host
    kept.append(_real(*pending))
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}
