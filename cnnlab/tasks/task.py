"""The protocol of a task: how to train on, average, decode, score, draw and store a network's outputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import jax
import numpy as np

from cnnlab.data import Dataset, InputSpec
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage
from cnnlab.quoting import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Batch = Mapping[str, jax.Array]
Outputs = dict[str, jax.Array]
Rows = dict[str, jax.Array]
Record = dict[str, Any]


@jax.tree_util.register_pytree_with_keys_class
class Prediction(dict):
    """The decoded output of a network: arrays `[B, ...]` by name, also readable as attributes such as `.probs`.

    The task decides which arrays there are (`.probs`, `.label`, `.mask`, `.boxes`, `.value` ...); `list(prediction)`
    returns their names. A prediction is a pytree.
    """

    def __getattr__(self, name: str):
        if name in self:
            return self[name]
        raise AttributeError(f"this prediction holds {', '.join(self)}; not {name!r}")

    def __repr__(self) -> str:
        shapes = ((name, getattr(value, "dtype", ""), getattr(value, "shape", None)) for name, value in self.items())
        parts = (f"{n} {dtype}{list(s)}" if s is not None else n for n, dtype, s in shapes)
        return f"Prediction with the arrays\n  {cut(', '.join(parts), 300)}"

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
    """A frozen dataclass of pure functions that define a task for training, evaluation and prediction.

    To add a task, write a file with a class that inherits from this one, and add a line to `TASKS`. A task must define
    the methods that have no body here; the others have a default. `complete` adds the defaults to an object whose class
    does not inherit.

    Attributes:
      logits: axes of the logits: `vector` `[B, K]`, `map` `[B, H, W, K]` (a prediction per pixel), `grid`
        `[B, S, S', K]` or `time` `[B, T, K]`. With None the network's outputs are not checked.
      columns: columns of the data that the task reads, in addition to `image`.
      monitor: entry of `summary` by which the best step is selected.
      maximise: whether a larger value of `monitor` is better.
      reads_variance: whether `rows` reads the variances of the outputs over passes or members, which it finds by name
        in `outputs["variance"]`.
      decides: whether a prediction is one distribution over classes `[B, k]`, named `probs`, which can be calibrated,
        turned into conformal sets and compared with out-of-distribution images.
      images_per_class: number of images of one class that stand together in a training batch, for a loss that compares
        images; with 1 the order of the images is random.
      group_by: column whose equal values make a class in this sense: `label`, or `pair`, which no batch may divide.
      noun: what each name of the data's classes stands for, in the singular.
      example_score: column of `per_example` by which two networks' results for an example are compared.
      predict_options: options of `cnnlab predict` that only some tasks take: `annotations` (the formats of
        annotation tools), `calibrated`, `gallery`, `ids`, `group`, `lexicon`, `pattern`, `tile`, `video`.
    """

    logits: Literal["vector", "map", "grid", "time"] | None = None
    columns: tuple[str, ...] = ()
    monitor: str = "loss"
    maximise: bool = False
    reads_variance: bool = False
    decides: bool = False
    images_per_class: int = 1
    group_by: str = "label"
    noun: str = "class"
    example_score: str = ""
    predict_options: tuple[str, ...] = ()

    def head(self, spec: InputSpec) -> int:
        """Returns the number of outputs (the last axis of the logits) that the network needs."""

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns the loss `[B]` and the weight `[B]` of each example; an example of weight 0 is ignored."""

    def link(self, logits: jax.Array) -> Outputs:
        """Converts the logits of one pass to arrays that can be averaged over passes: probabilities, boxes, values.

        An array named `probs` holds a distribution on its last axis, and `embedding` `[B, D]` says what an image is:
        `embeddings.extract` returns it as the features.
        """

    def decode(self, outputs: Outputs) -> Prediction:
        """Decodes averaged outputs to a prediction: the outputs, and `label`, `mask`, `boxes` or `value`."""

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        """Returns arrays `[B, ...]` per example, from which `summary` computes the metrics; this method is jitted."""

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes metrics from the rows of all examples, in double precision."""

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Draws figures of a split, by name.

        `rows` holds the rows of the whole split. The evaluation adds `image` (indexable by example) and `class_names`.
        """

    def resolve(self, dataset: Dataset) -> Task:
        """Returns the task with every `"auto"` replaced by a value; raises `ValueError` if the data does not fit."""
        return self

    def remarks(self, dataset: Dataset, shape: tuple[int, ...]) -> list[str]:
        """Returns sentences that are printed before the first step, for logits `[B, ...]` of this shape."""
        return []

    def restrict(self, *, pattern: str | None = None, lexicon: tuple[str, ...] = ()) -> Task:
        """Returns the task with only these strings allowed, for a task with the options `pattern` and `lexicon`."""
        return self

    def unit(self) -> Outputs | None:
        """Returns the unit of each output in which `auto` passes measure the standard error; None is 1 for all."""
        return None

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns what evaluation on request adds to the summary; `rows` is that of `figures`.

        Tables by name, each a list of records or a mapping of counts, and numbers that take too long for every epoch.
        """
        return {}

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says in a sentence how good a network is.

        `report` holds `summary`, perhaps `details`, and the number of `examples`.
        """
        return f"{self.monitor} {report[self.monitor]:.4f}" if self.monitor in report else ""

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns a table of the split by column, with one entry `[n]` per example; `rows` is that of `figures`.

        Truth, prediction and scores of each example; a column `correct` of bool, if there is one, is what McNemar's
        test compares.
        """
        return {}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Converts a photo's prediction to records of JSON types, the rows of `predictions.json` and `.csv`.

        `prediction` has no batch axis.
        """
        arrays = {name: value for name, value in prediction.items() if not isinstance(value, dict)}
        return [{"file": str(photo.path)} | {name: np.asarray(value).tolist() for name, value in arrays.items()}]

    def annotations(
        self, prediction: Prediction, spec: InputSpec, photo: Photo, *, smallest: int = 1, simplify: float = 0.0
    ) -> list[Record]:
        """Returns what the formats of annotation tools hold of a photo, for a task with the option `annotations`.

        A record has `category`, `score` (a probability), doubts such as `entropy`, and in pixels of the photo either
        `bbox` (x, y, width, height) or `outline`, a polygon `[n, 2]`; without either it describes the whole photo.

        Args:
          prediction: prediction without a batch axis.
          spec: input specification of the network.
          photo: the photo.
          smallest: number of pixels of the smallest region that gets an outline.
          simplify: tolerance in pixels with which outlines lose the stairs of pixels, as in `geometry.simplify`.
        """
        return []

    def line(self, record: Record) -> Record:
        """Returns a record's columns in `predictions.csv`, in the order of reading: what, how sure, the rest.

        A dict becomes a column for each of its entries.
        """
        return record

    def document(self, records: Sequence[Record]) -> Any:
        """Returns the content of `predictions.json`: the records of all photos."""
        return {"predictions": list(records)}

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """Returns drawings of a photo's prediction by name, which are stored beside the records as `PHOTO_NAME.png`.

        A task with the option `video` returns one drawing of the photo's size, which becomes the frame.
        """
        return {}


def task_name(task: Task) -> str:
    """Returns the name of a task in messages."""
    return type(task).__name__.lower()


def complete(task: Any) -> Task:
    """Adds the defaults of `Task` to a task whose class does not inherit from it; returns any other task unchanged."""
    return task if Task in type(task).__mro__ else _Completed(task)


class _Completed:
    """A wrapper that gives an object the defaults of `Task` for the attributes and methods that it lacks."""

    def __init__(self, task: Any):
        self._task = task

    def __getattr__(self, name: str) -> Any:
        if hasattr(self._task, name):
            return getattr(self._task, name)
        default = getattr(Task, name)
        return functools.partial(default, self._task) if callable(default) else default


def by_class(names: Sequence[str], values: Any) -> dict[str, Any]:
    """Returns a dict from names to the numbers at the same positions.

    >>> by_class(("cat", "dog"), np.array([0.25, 0.75]))
    {'cat': 0.25, 'dog': 0.75}
    """
    return dict(zip(names, np.asarray(values).tolist(), strict=True))


def require_columns(dataset: Dataset, columns: Sequence[str], task: str) -> None:
    """Raises `ValueError` if the first split lacks one of the columns that a task reads."""
    present = next(iter(dataset.splits.values()))[np.arange(1)]
    for column in columns:
        if column not in present:
            raise ValueError(
                f"the task {task} reads the column {column!r}, but {dataset.name} holds {', '.join(present)}; "
                "choose another --task.name or other data"
            )


_SUCH_AS = {"vector": "lenet5", "map": "unet", "grid": "yolo_small", "time": "reader"}
"""A network with each kind of logits, for messages."""


def check_logits(task: Task, shape: tuple[int, ...], spec: InputSpec, network: str) -> None:
    """Raises `ValueError` if logits of this shape `[B, ...]` do not fit the task."""
    kind, k = complete(task).logits, task.head(spec)
    expected = {"vector": (k,), "map": (*spec.size, k), "grid": ("S", "S'", k), "time": ("T", k)}.get(kind)
    if expected is None:
        return
    actual = shape[1:]
    if len(actual) != len(expected) or any(e != a for e, a in zip(expected, actual, strict=True) if isinstance(e, int)):
        smaller = kind == "map" and len(actual) == 3 and actual[-1] == k and actual < expected
        example = f", such as --model.name {_SUCH_AS[kind]}," if kind in _SUCH_AS else ""
        other = f"choose another model{example} or task"
        remedy = "take --model.border mirror, which predicts every pixel" if smaller else other
        raise ValueError(
            f"{task_name(task)} needs logits [B, {', '.join(map(str, expected))}], but {network} gives "
            f"[B, {', '.join(map(str, actual))}] for images {list(spec.shape)}; {remedy}"
        )
