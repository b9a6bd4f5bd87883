"""What a network's numbers mean: the protocol that training, evaluation and Monte-Carlo serve, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import jax
import numpy as np

from cnnlab.data import Dataset, InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batch = Mapping[str, jax.Array]
Outputs = dict[str, jax.Array]
Rows = dict[str, jax.Array]


@jax.tree_util.register_pytree_with_keys_class
class Prediction(dict):
    """Named arrays `[B, ...]` that read as attributes: `.probs`, `.label`, `.mask`, `.boxes`, `.value` ...

    Which ones there are is the task's to say; `list(prediction)` names them. A pytree.
    """

    def __getattr__(self, name: str):
        if name in self:
            return self[name]
        raise AttributeError(f"this prediction holds {', '.join(self)}; not {name!r}")

    def tree_flatten_with_keys(self):
        names = tuple(sorted(self))
        return [(jax.tree_util.DictKey(name), self[name]) for name in names], names

    def tree_flatten(self):
        names = tuple(sorted(self))
        return [self[name] for name in names], names

    @classmethod
    def tree_unflatten(cls, names, leaves):
        return cls(zip(names, leaves, strict=True))


class Task(Protocol):
    """A frozen dataclass of pure functions. A new task is one file with such a class and a line in `TASKS`.

    Optional: an attribute `logits` (`"vector"` `[B, K]`, `"map"` `[B, H, W, K]` or `"grid"` `[B, S, S', K]`), by which
    a network that does not fit is told from one that does; a method `resolve(dataset)` that returns the task with
    everything `"auto"` filled in, or raises `ValueError` where the data lacks what the task reads; a method
    `remarks(dataset, shape)` of sentences that a user should read before the first step, on training data with logits
    `[B, ...]` of that shape; an attribute
    `reads_variance`: over passes or members, `rows` then finds the outputs' variances, by name, in
    `outputs["variance"]`; a method `details(rows)`, called like `figures`, for what is no single number: tables by
    name, each a list of records or a mapping of counts.

    Attributes:
      monitor: the entry of `summary` by which the best step is chosen.
      maximise: whether more of it is better.
    """

    monitor: str
    maximise: bool

    def head(self, spec: InputSpec) -> int:
        """The number of outputs that the network needs."""

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Value `[B]` and weight `[B]` of each example; weight 0 = nothing to learn from (all ignored)."""

    def link(self, logits: jax.Array) -> Outputs:
        """One pass as leaves that may be averaged over passes: probabilities, boxes on the grid, values in units.

        A leaf named `probs` holds a distribution on its last axis.
        """

    def decode(self, outputs: Outputs) -> Prediction:
        """The answer, once, after averaging: `label`, `mask`, `boxes`, `value`, beside the outputs."""

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        """What the summary needs of each example, `[B, ...]`, jitted."""

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Metrics over the rows of all examples, in double precision."""

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Pictures of a split.

        `rows` are those of the whole split and, added by the evaluation, `image` (indexable by example) and
        `class_names`.
        """


def require(dataset: Dataset, column: str, task: str) -> np.ndarray:
    """The training split's column, or an error that says what the task reads and what the data holds."""
    columns = dataset["train"][np.arange(1)]
    if column not in columns:
        raise ValueError(
            f"the task {task} reads the column {column!r}, but {dataset.name} holds {', '.join(columns)}; "
            "choose another --task.name or other data"
        )
    return dataset["train"].column(column)


def check_logits(task: Task, shape: tuple[int, ...], spec: InputSpec, network: str) -> None:
    """Raises `ValueError` where logits of this shape `[B, ...]` are not what the task reads."""
    kind: Literal["vector", "map", "grid"] | None = getattr(task, "logits", None)
    k = task.head(spec)
    wanted = {"vector": (k,), "map": (*spec.size, k), "grid": ("S", "S'", k)}.get(kind)
    if wanted is None:
        return
    given = shape[1:]
    if len(given) != len(wanted) or any(w != g for w, g in zip(wanted, given, strict=True) if isinstance(w, int)):
        smaller = kind == "map" and len(given) == 3 and given[-1] == k and given < wanted
        cure = "take --model.border mirror, which answers every pixel" if smaller else "choose another model or task"
        raise ValueError(
            f"{type(task).__name__.lower()} needs logits [B, {', '.join(map(str, wanted))}], but {network} gives "
            f"[B, {', '.join(map(str, given))}] for images {list(spec.shape)}; {cure}"
        )
