"""A trained network (module, variables, task and input spec in one pytree) and its predictions in one pass."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import numpy as np
from flax import struct
from jax.sharding import Mesh

from cnnlab import nn as cnn
from cnnlab.data import Examples, InputSpec, check_images, evaluation_batches, normalise
from cnnlab.quoting import cut, shortened
from cnnlab.runtime.compile import jit
from cnnlab.runtime.devices import own_rows, shard, to_host
from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import Outputs, complete, task_name

Passes = int | Literal["auto"]
"""Number of MC-Dropout passes; `auto` takes as many as each batch needs."""


class History(dict):
    """The table of a training: columns by name, float64 `[epochs]`, one row for each epoch.

    The columns are `epoch`, `step`, `loss` (the mean over the epoch), `seconds` and `validation_NAME` for each metric;
    and `waiting`, the share of the seconds in which the step waited for data, where the examples stay on disk.
    It is a dict of arrays, so `pandas.DataFrame(history)` makes a data frame of it.

    >>> history = History.of([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 0.5}])
    >>> history
    History of 2 epochs: epoch, loss
      last: epoch 2, loss 0.5
    >>> history["loss"].min()
    np.float64(0.5)
    """

    @classmethod
    def of(cls, rows: Sequence[dict[str, float]]) -> History:
        """Builds the table from one dict for each epoch; a value that a row lacks is NaN."""
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names})

    def __repr__(self) -> str:
        epochs = len(next(iter(self.values()), ()))
        last = ", ".join(f"{name} {column[-1]:.4g}" for name, column in self.items() if len(column))
        first = f"History of {epochs} {'epoch' if epochs == 1 else 'epochs'}: {', '.join(self)}"
        return f"{cut(first, 190)}\n{cut(f'  last: {last}', 190)}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self)
        rows = ("".join(f"<td>{value:.6g}</td>" for value in row) for row in zip(*self.values(), strict=True))
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


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

    @property
    def any_width(self) -> bool:
        """Whether images may differ in width from the training images, because pixels or columns are predicted."""
        return complete(self.task).logits in ("map", "time")

    @property
    def history(self) -> History:
        """The table of the training that gave this network, one row for each epoch.

        Raises:
          ValueError: the network is not, as it is, what `train` or `load` returned.
        """
        if "_read_history" not in self.__dict__:
            raise ValueError("only a network that train or load returned has a history, not one built or changed since")
        return History.of(self.__dict__["_read_history"]())

    def apply(self, images: jax.Array) -> jax.Array:
        """Returns the logits `[B, ...]` for images `[B, H, W, C]`, uint8 or in [0, 1], with dropout off.

        It is a pure function that may be jitted and differentiated: by the images with
        `jax.grad(lambda x: trained.apply(x)[:, 3].sum())(images)`, or by the parameters with
        `jax.grad(lambda v: trained.replace(variables=v).apply(images)[:, 3].sum())(trained.variables)`.
        `cnnlab.activations(trained, images)` returns the outputs of the layers.
        """
        return logits(self, images)

    def __repr__(self) -> str:
        count = sum(getattr(leaf, "size", 0) for leaf in jax.tree.leaves(self.variables.get("params", ())))
        classes = len(self.spec.classes)
        kinds = f"{classes} {'class' if classes == 1 else 'classes'}"
        size = "×".join(map(str, self.spec.shape))
        return (
            f"Trained {type(self.network).__name__}, {count:,} parameters, for {task_name(self.task)}\n"
            f"  images {size}, {kinds}{shortened(self.spec.classes)}"
        )


def from_run(trained: Trained, read: Callable[[], Sequence[dict[str, float]]]) -> Trained:
    """Gives a network the function that reads its history, and returns it.

    The function is no field: it is lost when the variables change, and compiled programs do not depend on it.
    """
    object.__setattr__(trained, "_read_history", read)
    return trained


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
        network accepts any height and width that its layers can halve and double, a reader of strips any width).

    Returns:
      `Prediction`: `.probs` and `.label` for classification, `.value` for regression, `.probs` and `.mask` for
      segmentation, `.boxes`, `.classes` and `.score` for detection, `.text` and `.confidence` for sequence.
    """
    check_images(images, trained.spec, any_size=trained.any_size, any_width=trained.any_width)
    return _predict(trained, images)


@jit
def _predict(trained: Trained, images: jax.Array) -> Prediction:
    return Prediction(trained.task.decode(outputs(trained, images)))


@jit
def one_pass_rows(trained: Trained, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Computes the task's rows for a batch in one pass with dropout off."""
    return trained.task.rows(outputs(trained, batch["image"]), batch)


def _without_padding(rows: dict[str, jax.Array], weight: jax.Array | np.ndarray) -> dict[str, np.ndarray]:
    """Copies rows to the host and drops those that only fill the batch, whose weight is 0."""
    rows, weight = to_host((rows, weight))
    return {name: leaf[weight > 0] for name, leaf in rows.items()}


def evaluation_rows(
    trained: Trained,
    examples: Examples,
    *,
    batch_size: int,
    rows=one_pass_rows,
    stop: Callable[[], Any] = bool,
    mesh: Mesh | None = None,
) -> dict[str, np.ndarray] | None:
    """Computes the task's rows for every example, in order, as NumPy arrays.

    Args:
      trained: the network.
      examples: one split.
      batch_size: examples in each batch; all batches have the same size, so `rows` is compiled once.
      rows: function `(trained, batch) -> {name: [B, ...]}`; by default one pass with dropout off.
      stop: function that is called before every batch; if it returns true, the result is None.
      mesh: devices that share each batch, on which the network's variables lie; by default one device.
    """
    parts, pending, own = [], None, slice(None)
    if mesh is not None:
        batch_size += -batch_size % mesh.size
        own = own_rows(batch_size, mesh)
    for batch in evaluation_batches(examples, batch_size=batch_size, rows=own):
        if stop():
            return None
        batch = batch if mesh is None else shard(batch, mesh)
        started = rows(trained, batch), batch["weight"]
        if pending is not None:
            parts.append(_without_padding(*pending))
        pending = started  # is read after the next batch starts, so that the device never waits for the host
    parts.append(_without_padding(*pending))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def digest_of_network(trained: Trained) -> str:
    """Returns a digest of the network, its task, its spec and its weights."""
    text = re.sub(" at 0x[0-9a-f]+", "", repr((trained.network, trained.task, trained.spec)))
    out = hashlib.sha256(text.encode())
    for leaf in jax.tree.leaves(trained.variables):
        out.update(np.asarray(leaf).tobytes())
    return out.hexdigest()
