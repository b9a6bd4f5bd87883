"""An experiment: all settings that determine a training run, as frozen dataclasses with a strict JSON form."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import flax.linen as nn

from cnnlab.data import SOURCES, Augmentation, Source
from cnnlab.errors import unknown
from cnnlab.files.strict_json import check, decode, encode, shown
from cnnlab.models import MODELS, Network
from cnnlab.tasks import TASKS
from cnnlab.training.optimizer import Optimizer

AUTO = "auto"
"""Name of a network, data source or task that is chosen when the data is read."""

Entry = Network | Source | Callable
"""An entry of a table of models, data sources or tasks."""


@dataclasses.dataclass(frozen=True, init=False)
class Choice:
    """A name from a table with its options.

    >>> model = Choice("lenet5", dropout=0.5)
    >>> model.name, model.dropout, model.replace(dropout=0.1).options
    ('lenet5', 0.5, {'dropout': 0.1})
    """

    name: str
    _options: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, **options):
        object.__setattr__(self, "name", name)
        frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        object.__setattr__(self, "_options", tuple(sorted(frozen.items())))

    def __getattr__(self, option: str):
        if option.startswith("_") or option not in self.options:
            raise AttributeError(f"{self!r} sets no option {option!r}")
        return self.options[option]

    def __repr__(self) -> str:
        return f"Choice({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in self._options)])})"

    @property
    def options(self) -> dict[str, Any]:
        """The options of this choice by name; all other options have their defaults."""
        return dict(self._options)

    def replace(self, **options) -> Choice:
        """Returns the same choice with other values of these options."""
        return Choice(self.name, **(self.options | options))

    def to_json(self) -> dict[str, Any]:
        """Returns the choice as `{"name": ..., option: value}`."""
        return {"name": self.name} | {key: encode(value) for key, value in self._options}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Choice:
        """Builds a choice from the result of `to_json`; `check_choice` checks its options."""
        if "name" not in value:
            raise ValueError(f"{where} needs a key 'name', found {', '.join(value) or 'none'}")
        if not isinstance(value["name"], str):
            raise ValueError(f"{where}.name must be text, found {shown(value['name'])}")
        if strange := [key for key in value if not key.isidentifier()]:
            raise ValueError(f"{where} has a key {shown(strange[0])}, which names no option; remove it")
        options = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items() if key != "name"}
        return cls(value["name"], **options)


class Option(NamedTuple):
    """The type and the default of an option of a model, data source or task; `Option.required` means no default."""

    kind: Any
    default: Any

    required = inspect.Parameter.empty


def options_of(target: Entry) -> dict[str, Option]:
    """Returns the options of a network, source or task: those of its parameters that JSON can represent."""
    inner, target = target_of(target), target.build if isinstance(target, Network | Source) else target
    hints = get_type_hints(inner)
    hidden = (
        {"parent", "name", "num_classes", "dtype"} if inspect.isclass(inner) and issubclass(inner, nn.Module) else ()
    )
    out = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in hidden or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = hints.get(name, Any)
        if not (
            (callable(parameter.default) and parameter.default is not Option.required) or _has_origin(kind, Callable)
        ):
            out[name] = Option(kind, parameter.default)
    return out


def target_of(entry: Entry) -> Callable:
    """Returns the class or function of an entry, whose docstring describes the entry's options."""
    target = entry.build if isinstance(entry, Network | Source) else entry
    while isinstance(target, functools.partial):
        target = target.func
    return target


def _has_origin(kind: Any, origin: Any) -> bool:
    """Returns whether an annotation or one of its parts has this origin."""
    return get_origin(kind) is origin or any(_has_origin(part, origin) for part in get_args(kind) if part is not kind)


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of the training loop: epochs, batches, augmentation, precision and saving.

    Attributes:
      epochs: number of epochs; a larger number extends a finished run.
      batch_size: number of examples in a step.
      augmentation: random changes of each training example.
      patience: number of epochs without a better monitored metric after which training stops; by default it does not.
      monitor: validation metric that chooses the best step; `auto` is the task's own metric.
      maximise: whether larger values of the metric are better; needed only for metrics that cnnlab does not know.
      precision: floating-point type of the computation; parameters stay float32.
      ema: decay of a moving average of all variables, which evaluation uses; by default there is no average.
      orthogonality: weight of the penalty that makes convolutions orthogonal; see `losses.orthogonality`. 0 is none.
      orthogonal_layers: names of the layers that the penalty counts; by default all convolutions. The name of a module
        stands for all convolutions and dense layers inside.
      accumulate: number of steps whose gradients are averaged for one update.
      remat: whether the backward pass computes the activations inside each layer again: less memory for more time.
      evaluation_batch_size: number of examples in a batch of evaluation.
      save_minutes: minutes between two saves during a long epoch.
      resident: whether the training examples stay on the device, where one program takes many steps; by default they
        do on an accelerator, if they are in memory and take at most a tenth of the device's memory.
      seeds: number of networks to train, each in a run of its own: one after the other on a CPU, all at once on an
        accelerator.
    """

    epochs: int = 20
    batch_size: int = 64
    augmentation: Augmentation = Augmentation()
    patience: int | None = None
    monitor: str = "auto"
    maximise: bool | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    ema: float | None = None
    orthogonality: float = 0.0
    orthogonal_layers: tuple[str, ...] = ()
    accumulate: int = 1
    remat: bool = False
    evaluation_batch_size: int = 256
    save_minutes: float = 10.0
    resident: bool | None = None
    seeds: int = 1

    def __post_init__(self):
        check(self)
        for name in ("epochs", "batch_size", "accumulate", "evaluation_batch_size", "patience", "seeds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, found {value}; set --training.{name.replace('_', '-')}")
        if not self.save_minutes > 0:
            raise ValueError(f"save_minutes must be above 0, found {self.save_minutes}; set --training.save-minutes")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie in 0..1, found {self.ema}; leave it out for no average")
        if not 0 <= self.orthogonality < math.inf:
            raise ValueError(
                f"orthogonality must be 0 or more and finite, found {self.orthogonality}; set --training.orthogonality"
            )
        if self.orthogonal_layers and not self.orthogonality:
            raise ValueError(
                f"orthogonal_layers {', '.join(self.orthogonal_layers)} count only with a weight above 0; set "
                "--training.orthogonality, such as 0.1"
            )


TABLES: dict[str, dict[str, Entry]] = {"model": MODELS, "data": SOURCES, "task": TASKS}
"""The table of each choice of an experiment, by the name of its field."""

_OWN = {"model": "network", "data": "data", "task": "task"}  # arguments of train for objects of the caller's own


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The settings of a training run: network, data, task, optimizer, training loop and seed.

    Attributes:
      model: name and fields of a network; data and task determine its number of outputs. A string becomes a `Choice`.
        `auto` chooses the network, and the augmentation if none is set, by task and images; see `training.automatic`.
      data: name and options of a data source; `auto` with a `path` chooses the source by the files.
      task: name and options of a task, which gives the network's outputs their meaning; `auto` chooses the one that
        suits the annotations, such as `segmentation` for masks.
      optimizer: optimization method and learning-rate schedule.
      training: epochs, batches and augmentation.
      seed: seed of initialisation, batch order, augmentation and dropout.

    >>> exp = Experiment(model=Choice("dense", features=(32,)))
    >>> Experiment.from_json(exp.to_json()) == exp
    True
    """

    model: Choice = Choice(AUTO)
    data: Choice = Choice("digits")
    task: Choice = Choice("classification")
    optimizer: Optimizer = Optimizer()
    training: Training = Training()
    seed: int = 0

    def __post_init__(self):
        for part in TABLES:
            name = getattr(self, part)
            if isinstance(name, str):
                if name != AUTO and name not in TABLES[part]:
                    raise unknown(part, name, TABLES[part], f"One of your own: pass {_OWN[part]}=..., to train.")
                object.__setattr__(self, part, Choice(name))
        check(self)
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number of 0 or more, found {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """Returns the experiment as nested dicts of JSON types."""
        return {
            "model": self.model.to_json(),
            "data": self.data.to_json(),
            "task": self.task.to_json(),
            "optimizer": encode(self.optimizer),
            "training": encode(self.training),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | str) -> Experiment:
        """Builds an experiment from the result of `to_json` or from its JSON text.

        Raises:
          ValueError: a key is unknown or a value has another type.
        """
        value = json.loads(value) if isinstance(value, str) else value
        names = [f.name for f in dataclasses.fields(cls)]
        if not isinstance(value, Mapping):
            raise ValueError(f"an experiment must be an object with the keys {', '.join(names)}, found {shown(value)}")
        for key in value:
            if key not in names:
                raise unknown("key", key, names)
        hints = get_type_hints(cls)
        parts = {key: decode(hints[key], item, key) for key, item in value.items()}
        for key, table in TABLES.items():
            if key in parts:
                parts[key] = check_choice(parts[key], table, key)
        return cls(**parts)


EARLIER = {
    "model": {"unet": {"up": "transposed"}},
    "data": {name: {"decoding": "exact"} for name in ("folder", "boxes", "comparisons")},
}
"""Options of networks and data that earlier versions did not have, with the values by which these worked."""


def from_stored(value: Mapping[str, Any]) -> Experiment:
    """Builds the experiment of a stored run; an option that is newer than the run has the value of `EARLIER`.

    >>> from_stored({"model": {"name": "unet", "width": 8}}).model.options["up"]
    'transposed'
    """
    experiment = Experiment.from_json(value)
    return dataclasses.replace(experiment, **{part: _as_earlier(getattr(experiment, part), part) for part in EARLIER})


def _as_earlier(choice: Choice, part: str) -> Choice:
    return Choice(choice.name, **(EARLIER[part].get(choice.name, {}) | choice.options))


def with_defaults(choice: Choice, table: Mapping[str, Entry]) -> Choice:
    """Adds the defaults of all other options to a choice, so that a stored run does not change with later defaults."""
    if choice.name not in table:
        return choice
    defaults = {k: o.default for k, o in options_of(table[choice.name]).items() if o.default is not Option.required}
    return Choice(choice.name, **(defaults | choice.options))


def check_choice(choice: Choice, table: Mapping[str, Entry], where: str) -> Choice:
    """Converts the options of a choice to their annotated types.

    A name that is not in the table passes without a check: it may be a network or task of the caller's own.

    Raises:
      ValueError: an option is unknown, or a value has another type.
    """
    if choice.name not in table:
        return choice
    known = options_of(table[choice.name])
    for name in choice.options:
        if name not in known:
            raise unknown(f"option of {where} {choice.name!r}:", name, known)
    return Choice(choice.name, **{k: decode(known[k].kind, v, f"{where}.{k}") for k, v in choice.options.items()})
