"""What a network's numbers mean: the protocol that training, evaluation, Monte-Carlo and every face serve."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import jax
import numpy as np

from cnnlab.data import Dataset, InputSpec
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batch = Mapping[str, jax.Array]
Outputs = dict[str, jax.Array]
Rows = dict[str, jax.Array]
Record = dict[str, Any]


@jax.tree_util.register_pytree_with_keys_class
class Prediction(dict):
    """Named arrays `[B, ...]` that read as attributes: `.probs`, `.label`, `.mask`, `.boxes`, `.value` ...

    The task decides which ones there are; `list(prediction)` names them. A pytree.
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
    """A frozen dataclass of pure functions: all that a task means, also for commands, videos, sheets and reports.

    A new task is one file with a class that inherits from this one, and a line in `TASKS`. Methods without a body here
    are its own; the others have a default. `complete` gives the defaults to a class that does not inherit.

    Attributes:
      logits: what the logits are over: `vector` `[B, K]`, `map` `[B, H, W, K]` (every pixel gets an answer), `grid`
        `[B, S, S', K]` or `time` `[B, T, K]`. None leaves the network's outputs unchecked.
      columns: the columns of the data that the task reads, besides `image`.
      monitor: the entry of `summary` by which the best step is chosen.
      maximise: whether a larger value of it is better.
      reads_variance: whether `rows` reads the outputs' variances over passes or members, by name, in
        `outputs["variance"]`.
      decides: whether an answer is one distribution over classes `[B, k]`, named `probs`, which can be calibrated, put
        into sets and compared with images from elsewhere.
      predict_options: the options of `cnnlab predict` that only such tasks take: `calibrated`; `ids` and `group`;
        `tile`; `video`.
    """

    logits: Literal["vector", "map", "grid", "time"] | None = None
    columns: tuple[str, ...] = ()
    monitor: str = "loss"
    maximise: bool = False
    reads_variance: bool = False
    decides: bool = False
    predict_options: tuple[str, ...] = ()

    def head(self, spec: InputSpec) -> int:
        """Returns the number of outputs that the network needs."""

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns value `[B]` and weight `[B]` of each example; a weight of 0 means that all of it is ignored."""

    def link(self, logits: jax.Array) -> Outputs:
        """Returns one pass as leaves that may be averaged over passes: probabilities, boxes on the grid, values.

        A leaf named `probs` holds a distribution on its last axis.
        """

    def decode(self, outputs: Outputs) -> Prediction:
        """Returns the answer, once, after averaging: `label`, `mask`, `boxes`, `value`, beside the outputs."""

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        """Returns what the summary needs of each example, `[B, ...]`; it is jitted."""

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Returns metrics over the rows of all examples, in double precision."""

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Returns pictures of a split.

        `rows` are those of the whole split and, added by the evaluation, `image` (indexable by example) and
        `class_names`.
        """

    def resolve(self, dataset: Dataset) -> Task:
        """Returns the task with everything `"auto"` filled in; raises `ValueError` where the data does not fit."""
        return self

    def remarks(self, dataset: Dataset, shape: tuple[int, ...]) -> list[str]:
        """Returns sentences that a user should read before the first step, for logits `[B, ...]` of that shape."""
        return []

    def unit(self) -> Outputs | None:
        """Returns the units of the standard errors by which `auto` passes suffice, like an output; None is 1."""
        return None

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns tables by name, each a list of records or a mapping of counts; called like `figures`."""
        return {}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns a photo's prediction as records of JSON's types: rows of `predictions.json` and `.csv`.

        `prediction` is without a batch axis.
        """
        arrays = {name: value for name, value in prediction.items() if not isinstance(value, dict)}
        return [{"file": str(photo.path)} | {name: np.asarray(value).tolist() for name, value in arrays.items()}]

    def document(self, records: Sequence[Record]) -> Any:
        """Returns what `predictions.json` holds."""
        return {"predictions": list(records)}

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """Returns pictures of a photo's prediction by name, written beside the records as `PHOTO_NAME.png`.

        A task with the option `video` draws one picture of the photo's own size, which becomes the frame.
        """
        return {}


def task_name(task: Task) -> str:
    """Returns what messages call a task."""
    return type(task).__name__.lower()


def complete(task: Any) -> Task:
    """Returns the task itself where it inherits from `Task`, else the task with the protocol's defaults added."""
    return task if Task in type(task).__mro__ else _Completed(task)


class _Completed:
    """A task of one's own, with the defaults of `Task` for whatever it leaves out."""

    def __init__(self, task: Any):
        self._task = task

    def __getattr__(self, name: str) -> Any:
        if hasattr(self._task, name):
            return getattr(self._task, name)
        default = getattr(Task, name)
        return functools.partial(default, self._task) if callable(default) else default


def by_class(names: Sequence[str], values: Any) -> dict[str, Any]:
    """Returns numbers by the names that they belong to.

    >>> by_class(("cat", "dog"), np.array([0.25, 0.75]))
    {'cat': 0.25, 'dog': 0.75}
    """
    return dict(zip(names, np.asarray(values).tolist(), strict=True))


def require_columns(dataset: Dataset, columns: Sequence[str], task: str) -> None:
    """Raises `ValueError` where the training split lacks a column; the error says what the task reads."""
    held = dataset["train"][np.arange(1)]
    for column in columns:
        if column not in held:
            raise ValueError(
                f"the task {task} reads the column {column!r}, but {dataset.name} holds {', '.join(held)}; "
                "choose another --task.name or other data"
            )


def check_logits(task: Task, shape: tuple[int, ...], spec: InputSpec, network: str) -> None:
    """Raises `ValueError` where logits of this shape `[B, ...]` are not what the task reads."""
    kind, k = complete(task).logits, task.head(spec)
    wanted = {"vector": (k,), "map": (*spec.size, k), "grid": ("S", "S'", k), "time": ("T", k)}.get(kind)
    if wanted is None:
        return
    given = shape[1:]
    if len(given) != len(wanted) or any(w != g for w, g in zip(wanted, given, strict=True) if isinstance(w, int)):
        smaller = kind == "map" and len(given) == 3 and given[-1] == k and given < wanted
        cure = "take --model.border mirror, which answers every pixel" if smaller else "choose another model or task"
        raise ValueError(
            f"{task_name(task)} needs logits [B, {', '.join(map(str, wanted))}], but {network} gives "
            f"[B, {', '.join(map(str, given))}] for images {list(spec.shape)}; {cure}"
        )
