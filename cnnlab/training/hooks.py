"""Functions of the caller's own in a training run: loss, augmentation, optimizer, metrics and callbacks."""

from __future__ import annotations

import dataclasses
import itertools
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab.data.spec import as_float
from cnnlab.tasks import Task
from cnnlab.tasks.task import Batch, Rows, task_name
from cnnlab.trained import History, Trained

Loss = Callable[[jax.Array, Batch], jax.Array]
"""A function `(logits [B, ...], batch) -> [B]`, the loss of each example, which is jitted and differentiated."""

Augment = Callable[[Batch, jax.Array], Batch]
"""A function `(batch, key) -> batch`, which is jitted. Images are float32 in [0, 1]; shapes and dtypes stay."""

Metric = Callable[[Rows], float]
"""A function of the task's rows of the whole validation split, NumPy arrays `[n, ...]` by name, to a number."""

Callback = Callable[[History, Trained], bool | None]
"""A function `(history, trained)` that is called after every saved epoch; if it returns True, training ends."""

_EXAMPLES = 7  # in the batch that is traced; a prime, so that another axis is hardly as long


@dataclasses.dataclass(frozen=True)
class Hooks:
    """The functions of the caller's own in a run; by default there are none.

    Attributes:
      loss: replaces the task's loss; the task's weights of examples still count.
      augment: changes each batch after the built-in augmentation and before normalisation.
      optimizer: replaces the optimizer of the experiment.
      metrics: metrics of the validation beside the task's, as pairs of name and function.
      callbacks: functions that are called after every epoch.
    """

    loss: Loss | None = None
    augment: Augment | None = None
    optimizer: optax.GradientTransformation | None = None
    metrics: tuple[tuple[str, Metric], ...] = ()
    callbacks: tuple[Callback, ...] = ()

    def names(self, params: Callable[[], Any]) -> dict[str, Any]:
        """Returns the names that a run stores; an optimizer is named by its states for the result of `params`."""
        return {
            "loss": self.loss and name_of(self.loss),
            "augment": self.augment and name_of(self.augment),
            "optimizer": self.optimizer and ", ".join(_states(jax.eval_shape(self.optimizer.init, params()))),
            "metrics": [name for name, _ in self.metrics],
            "callbacks": [name_of(callback) for callback in self.callbacks],
        }

    def task(self, task: Task) -> Task:
        """Returns the task with the caller's loss and metrics; the task itself if there are none."""
        return _Hooked(task, self.loss, self.metrics) if self.loss or self.metrics else task


@dataclasses.dataclass(frozen=True)
class _Hooked:
    """A task with another loss and more metrics; everything else is the task's."""

    task: Task
    own_loss: Loss | None
    own_metrics: tuple[tuple[str, Metric], ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        value, weight = self.task.loss(logits, batch)
        return (value if self.own_loss is None else self.own_loss(logits, batch)), weight

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        summary = self.task.summary(rows)
        for name, metric in self.own_metrics:
            if name in summary or name == "loss":
                raise ValueError(f"metric {name!r} is one of {task_name(self.task)} already; choose another name")
            summary[name] = _number(name, metric, rows)
        return summary


def make_hooks(
    *,
    loss: Loss | None = None,
    augment: Augment | None = None,
    optimizer: optax.GradientTransformation | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Hooks:
    """Collects the functions of the caller's own and checks that they are functions; see `train`.

    >>> make_hooks(metrics={"top2": len}).metrics[0][0]
    'top2'
    """
    metrics = {} if metrics is None else metrics
    if not isinstance(metrics, Mapping):
        raise ValueError(f"metrics must be a dict from names to functions of rows, found {type(metrics).__name__}")
    if callable(callbacks):
        raise ValueError(f"callbacks must be a list of functions; pass callbacks=[{name_of(callbacks)}]")
    if optimizer is not None and not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ValueError(
            "optimizer must be an optax transformation such as optax.lion(1e-4), or the name of an optimizer, "
            f"found {name_of(optimizer)}"
        )
    functions = {"loss": loss, "augment": augment}
    functions |= {f"metrics[{name!r}]": metric for name, metric in metrics.items()}
    functions |= {f"callbacks[{number}]": callback for number, callback in enumerate(callbacks)}
    for where, function in functions.items():
        if function is not None and not callable(function):
            raise ValueError(f"{where} must be a function, found {function!r}")
    return Hooks(loss, augment, optimizer, tuple(metrics.items()), tuple(callbacks))


def name_of(function: Any) -> str:
    """Returns the name of a function, of the function of a `functools.partial`, or of an object's class."""
    function = getattr(function, "func", function)
    return getattr(function, "__name__", type(function).__name__)


def check_hooks(hooks: Hooks, task: Task, columns: Mapping[str, np.ndarray], logits: tuple[int, ...]) -> None:
    """Traces loss and augmentation on abstract arrays; nothing is computed.

    Args:
      hooks: the functions.
      task: the task, without its own loss replaced.
      columns: columns of one example or more.
      logits: shape of the logits, `[B, ...]`.

    Raises:
      ValueError: the loss is no `[B]`, or the augmentation changes a shape, a dtype or the columns.
    """
    b = _EXAMPLES
    batch = {name: jax.ShapeDtypeStruct((b, *np.shape(c)[1:]), np.asarray(c).dtype) for name, c in columns.items()}
    batch["weight"] = jax.ShapeDtypeStruct((b,), jnp.float32)
    batch["image"] = jax.eval_shape(as_float, batch["image"])
    if hooks.augment is not None:
        after = _traced("augment", hooks.augment, batch, jax.random.key(0))
        if not isinstance(after, Mapping):
            raise ValueError(
                f"augment {name_of(hooks.augment)} must return the batch, a dict with the columns {', '.join(batch)}, "
                f"found {type(after).__name__}; return dict(batch) | {{'image': ...}}"
            )
        for name in sorted(batch.keys() | after.keys()):
            old, new = (_shape(part.get(name)) for part in (batch, after))
            if old != new:
                raise ValueError(
                    f"augment {name_of(hooks.augment)} must keep shape and dtype of {name!r}, {old}, but returns {new}"
                )
    if hooks.loss is not None:
        value = _traced("loss", hooks.loss, jax.ShapeDtypeStruct((b, *logits[1:]), jnp.float32), batch)
        if getattr(value, "shape", None) != (b,) or not jnp.issubdtype(value.dtype, jnp.floating):
            raise ValueError(
                f"loss {name_of(hooks.loss)} must return [B] floating-point numbers, one for each example, here "
                f"float32[{b}], but returns {_shape(value)}; leave out the mean over the batch, and average the "
                "other axes"
            )


def _traced(where: str, function: Callable, *arguments: Any) -> Any:
    """Returns the abstract result of a hook; an error says which hook failed."""
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:
        raise ValueError(f"{where} {name_of(function)} fails when it is traced for a batch: {error}") from error


def _shape(array: Any) -> str:
    """Formats an abstract array as `float32[7, 10]`."""
    if array is None:
        return "nothing"
    if not hasattr(array, "shape"):
        return type(array).__name__
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _number(name: str, metric: Metric, rows: Mapping[str, np.ndarray]) -> float:
    """Computes a metric and checks that it is one number."""
    try:
        value = metric(dict(rows))
    except Exception as error:
        raise ValueError(f"metric {name!r} fails on the rows {', '.join(sorted(rows))}: {error}") from error
    if isinstance(value, numbers.Real) or (np.shape(value) == () and np.asarray(value).dtype.kind in "buif"):
        return float(value)
    found = f"{type(value).__name__} of shape {list(np.shape(value))}"
    raise ValueError(f"metric {name!r} must return one number for all rows, found {found}; return its mean")


def _states(state: Any) -> Iterator[str]:
    """Yields the names of the states of an optax chain, without those that are empty."""
    name = type(state).__name__
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        if name != "EmptyState":
            yield name
    elif isinstance(state, tuple | list):
        yield from itertools.chain.from_iterable(map(_states, state))


def call(callbacks: Sequence[Callback], history: Sequence[dict[str, float]], trained: Trained) -> bool:
    """Calls every callback after an epoch, with copies, and returns whether one of them ends training.

    Raises:
      RuntimeError: a callback raised an error; the message names it.
    """
    if not callbacks:
        return False
    # The next step reuses the memory of these variables, so a callback that keeps them needs a copy.
    trained = trained.replace(variables=jax.tree.map(jnp.copy, trained.variables))
    ends = []
    for callback in callbacks:
        try:
            answer = np.asarray(callback(History.of(history), trained))  # NumPy's and JAX's True end training, too
            ends.append(answer.dtype == bool and bool(answer.all()))
        except Exception as error:
            raise RuntimeError(
                f"callback {name_of(callback)} raised {type(error).__name__} after epoch {history[-1]['epoch']}: "
                f"{error}; the run is saved, and the same call resumes it"
            ) from error
    return any(ends)
