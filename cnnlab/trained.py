"""A trained network (module, variables, task and input spec in one pytree) and its predictions in one pass."""

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
"""Number of MC-Dropout passes; `auto` takes as many as each batch needs."""


@struct.dataclass
class Trained:
    """A trained network, a pytree that can be an argument of jitted functions.

    JAX traces the variables; the other fields are static and hashable. `cnnlab.train` and `cnnlab.load` return a
    trained network, and any Linen module can become one:

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
        """Whether images may differ in height and width from the training images, because each pixel is predicted."""
        return complete(self.task).logits == "map"


Forward = Callable[[nn.Module, dict[str, Any], jax.Array], jax.Array]
"""A function of network, variables and normalised images `[B, H, W, C]` that returns logits `[B, ...]`."""


def logits(trained: Trained, images: jax.Array, *, forward: Forward = cnn.apply) -> jax.Array:
    """Returns the network's logits `[B, ...]`.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or in [0, 1]; this function normalises them.
      forward: function that runs the network; by default dropout is off.
    """
    return forward(trained.network, trained.variables, normalise(images, trained.spec))


def outputs(trained: Trained, images: jax.Array, *, forward: Forward = cnn.apply) -> Outputs:
    """Returns the task's outputs for one pass: probabilities, values, or boxes on the grid.

    The arguments are those of `logits`.
    """
    return trained.task.link(logits(trained, images, forward=forward))


def predict(trained: Trained, images: jax.Array) -> Prediction:
    """Predicts each image in one pass with dropout off.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1]; H, W and C as in `trained.spec` (a segmentation
        network accepts any height and width that its layers can halve and double).

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
    """Computes the task's rows for a batch in one pass with dropout off."""
    return trained.task.rows(outputs(trained, batch["image"]), batch)


def _without_padding(rows: dict[str, jax.Array], real: np.ndarray) -> dict[str, np.ndarray]:
    """Copies rows to the host and drops those that only fill the batch."""
    return {name: leaf[real] for name, leaf in jax.device_get(rows).items()}


def evaluation_rows(
    trained: Trained,
    examples: Examples,
    *,
    batch_size: int,
    rows=one_pass_rows,
    stop: Callable[[], Any] = bool,
) -> dict[str, np.ndarray] | None:
    """Computes the task's rows for every example, in order, as NumPy arrays.

    Args:
      trained: the network.
      examples: one split.
      batch_size: examples in each batch; all batches have the same size, so `rows` is compiled once.
      rows: function `(trained, batch) -> {name: [B, ...]}`; by default one pass with dropout off.
      stop: function that is called before every batch; if it returns true, the result is None.
    """
    parts, pending = [], None
    for batch in evaluation_batches(examples, batch_size=batch_size):
        if stop():
            return None
        started = rows(trained, batch), batch["weight"] > 0
        if pending is not None:
            parts.append(_without_padding(*pending))
        pending = started  # is read after the next batch starts, so that the device never waits for the host
    parts.append(_without_padding(*pending))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
