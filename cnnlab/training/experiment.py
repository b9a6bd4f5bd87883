"""An experiment: everything that decides what a run will be, as one frozen tree with a strict JSON form."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import flax.linen as nn

from cnnlab.data import SOURCES, Augmentation, Source
from cnnlab.errors import unknown
from cnnlab.files.strict_json import check, decode, encode, shown
from cnnlab.models import MODELS, Network
from cnnlab.tasks import TASKS
from cnnlab.training.optimizer import Optimizer

Entry = Network | Source | Callable
"""What a table holds under a name."""


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
        """The options set; others keep their defaults."""
        return dict(self._options)

    def replace(self, **options) -> Choice:
        """The same name with these options changed."""
        return Choice(self.name, **(self.options | options))

    def to_json(self) -> dict[str, Any]:
        """`{"name": ..., option: value}`."""
        return {"name": self.name} | {key: encode(value) for key, value in self._options}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Choice:
        """The inverse; options are checked where the name is known."""
        if "name" not in value:
            raise ValueError(f"{where} needs a key 'name', found {', '.join(value) or 'none'}")
        if not isinstance(value["name"], str):
            raise ValueError(f"{where}.name must be text, found {shown(value['name'])}")
        if strange := [key for key in value if not key.isidentifier()]:
            raise ValueError(f"{where} has a key {shown(strange[0])}, which names no option; remove it")
        options = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items() if key != "name"}
        return cls(value["name"], **options)


class Option(NamedTuple):
    """An option of a registered function or class; `default` is `Option.required` where there is none."""

    kind: Any
    default: Any

    required = inspect.Parameter.empty


def options_of(target: Entry) -> dict[str, Option]:
    """What can be set of a registered network, source or task: its parameters that JSON can hold."""
    inner = target = target.build if isinstance(target, Network | Source) else target
    while isinstance(inner, functools.partial):
        inner = inner.func
    hints = get_type_hints(inner)
    hidden = (
        {"parent", "name", "num_classes", "dtype"} if inspect.isclass(inner) and issubclass(inner, nn.Module) else ()
    )
    out = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in hidden or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = hints.get(name, Any)
        if not ((callable(parameter.default) and parameter.default is not Option.required) or _holds(kind, Callable)):
            out[name] = Option(kind, parameter.default)
    return out


def _holds(kind: Any, wanted: Any) -> bool:
    """Whether an annotation is, or has among its parts, that origin."""
    return get_origin(kind) is wanted or any(_holds(part, wanted) for part in get_args(kind) if part is not kind)


@dataclasses.dataclass(frozen=True)
class Training:
    """How long and in what portions.

    Attributes:
      epochs: passes over the training split; more of them extend a finished run.
      batch_size: examples a step.
      augmentation: what is drawn anew for every training example.
      patience: stop after so many epochs without a better monitored metric; never if left out.
      monitor: the validation metric that chooses the best step; `auto` takes the task's.
      maximise: whether more of it is better; needed only for metrics that cnnlab does not know.
      precision: of the computation; parameters stay float32.
      ema: decay of a moving average of all variables, used for evaluation; none if left out.
      accumulate: steps whose gradients are averaged for one update.
      evaluation_batch_size: examples a step of evaluation.
      save_minutes: an epoch that takes longer is saved amid it, every so many minutes.
      resident: the training examples stay on the device, and many steps are one program; on an accelerator where the
        examples are in memory and take a tenth of its own at most, if left out.
      seeds: networks to train, each in a run of its own: in turn on a CPU, all at once on an accelerator.
    """

    epochs: int = 20
    batch_size: int = 64
    augmentation: Augmentation = Augmentation()
    patience: int | None = None
    monitor: str = "auto"
    maximise: bool | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    ema: float | None = None
    accumulate: int = 1
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
            raise ValueError(f"ema must lie in 0..1, found {self.ema}; leave it out for none")


TABLES: dict[str, dict[str, Entry]] = {"model": MODELS, "data": SOURCES, "task": TASKS}
"""Where the names of an experiment's choices are looked up."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is learnt, from what, by which network and how.

    Attributes:
      model: a network's name and fields; its outputs follow the data and the task. A plain string is a `Choice`.
      data: a source's name and options.
      task: what the network's outputs mean.
      optimizer: the method and its schedule.
      training: epochs, batches, augmentation.
      seed: of initialisation, batch order, augmentation and dropout.

    >>> exp = Experiment(model=Choice("dense", features=(32,)))
    >>> Experiment.from_json(exp.to_json()) == exp
    True
    """

    model: Choice = Choice("lenet5")
    data: Choice = Choice("digits")
    task: Choice = Choice("classification")
    optimizer: Optimizer = Optimizer()
    training: Training = Training()
    seed: int = 0

    def __post_init__(self):
        for part in TABLES:
            if isinstance(getattr(self, part), str):
                object.__setattr__(self, part, Choice(getattr(self, part)))
        check(self)
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number of 0 or more, found {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """The tree as JSON's types."""
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
        """The inverse of `to_json`, from its result or its text; an unknown key is a `ValueError`."""
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


def with_defaults(choice: Choice, table: Mapping[str, Entry]) -> Choice:
    """The choice with the defaults of all its other options, so that what was meant is stored whatever they become."""
    if choice.name not in table:
        return choice
    defaults = {k: o.default for k, o in options_of(table[choice.name]).items() if o.default is not Option.required}
    return Choice(choice.name, **(defaults | choice.options))


def check_choice(choice: Choice, table: Mapping[str, Entry], where: str) -> Choice:
    """The choice with its options in their annotated types.

    Raises:
      ValueError: the name has no such option, or a value is of another type. A name that stands in no table passes:
      it may be a network or task that the caller holds.
    """
    if choice.name not in table:
        return choice
    known = options_of(table[choice.name])
    for name in choice.options:
        if name not in known:
            raise unknown(f"option of {where} {choice.name!r}:", name, known)
    return Choice(choice.name, **{k: decode(known[k].kind, v, f"{where}.{k}") for k, v in choice.options.items()})
