"""The command line of `train`: first the names that are chosen, then the flags of what they name."""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

from cnnlab.data import SOURCES, Augmentation, detect_source
from cnnlab.data.sources.tfds_directory import is_known
from cnnlab.errors import unknown
from cnnlab.training.experiment import TABLES, Choice, Experiment, Option, Training, check_choice, options_of
from cnnlab.training.optimizer import Optimizer
from cnnlab.training.presets import PRESETS, get
from cnnlab.training.run import may_change

DEFAULT = "digits-lenet5"


@dataclasses.dataclass(frozen=True)
class Launch:
    """What a training is asked for beside the experiment.

    Attributes:
      run_dir: where the run is kept; runs/PRESET, or runs/DATA-MODEL-DIGEST for other options, if left out.
      init_from: a run, or a torchvision state dict (.safetensors, .pth), whose parameters are the first ones.
      json: print the test metrics as one JSON object.
    """

    run_dir: Path | None = None
    init_from: Path | None = None
    json: bool = False


def parse_experiment(arguments: Sequence[str]) -> tuple[Experiment, Launch]:
    """The experiment, and what else is asked for.

    Raises:
      ValueError: a preset, model, data or task that does not exist, or a value out of range.
      SystemExit: a flag that does not parse (2), or help (0).
    """
    names, rest = _first_phase(arguments)
    base = get(names.pop("preset") or DEFAULT)
    preset = next(name for name, experiment in PRESETS.items() if experiment == base)
    for part, name in names.items():
        if part == "data" and name not in SOURCES and is_known(name):
            base = dataclasses.replace(base, data=Choice("tfds", set=name))
            continue
        if name not in TABLES[part]:
            raise unknown(part, name, TABLES[part])
        if name != getattr(base, part).name:
            base = dataclasses.replace(base, **{part: Choice(name)})
            if part != "model":  # a preset's augmentation is for its own data
                base = dataclasses.replace(
                    base, training=dataclasses.replace(base.training, augmentation=Augmentation())
                )
    parsed = tyro.cli(_flags(base), args=rest, prog="cnnlab train [PRESET]", description=_description(base))
    chosen = {part: _choice(getattr(base, part), getattr(parsed, part), part) for part in TABLES}
    label = chosen["data"].name
    if names_of_paths := SOURCES[label].paths:
        # Whole, so that the run can be evaluated from anywhere.
        paths = {name: chosen["data"].options.get(name) for name in names_of_paths}
        whole = {name: Path(path).expanduser().resolve() for name, path in paths.items() if path is not None}
        chosen["data"] = chosen["data"].replace(**{name: str(path) for name, path in whole.items()})
        first = whole[names_of_paths[0]]
        label = first.stem if first.is_file() else first.name
    experiment = Experiment(**chosen, optimizer=parsed.optimizer, training=parsed.training, seed=parsed.seed)
    launch = parsed.launch
    return experiment, dataclasses.replace(
        launch, run_dir=launch.run_dir or Path("runs") / _run_name(experiment, preset, label, launch.init_from)
    )


def _run_name(experiment: Experiment, preset: str, data: str, init_from: str | None) -> str:
    """The preset's name where it is the preset, however long it trains; else data, model and a digest of the rest."""
    told = experiment.to_json()
    if init_from is not None:
        told["init_from"] = str(init_from)
    elif _without_epochs(told) == _without_epochs(PRESETS[preset].to_json()):
        return preset
    digest = hashlib.sha256(json.dumps(_without_epochs(told), sort_keys=True).encode()).hexdigest()
    return f"{data}-{experiment.model.name}-{digest[:6]}"


def _without_epochs(told: dict[str, Any]) -> dict[str, Any]:
    """Nor anything else that a run may change and stay the same."""
    kept = {name: value for name, value in told["training"].items() if f"training.{name}" not in may_change()}
    return told | {"training": kept | {"epochs": None}}


def _first_phase(arguments: Sequence[str]) -> tuple[dict[str, str | None], list[str]]:
    """The preset and the names chosen for parts, and the arguments that are left."""
    arguments = list(arguments)
    preset = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for part in TABLES:
        parser.add_argument(f"--{part}.name", dest=part)
    known, rest = parser.parse_known_args(arguments)
    path = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    path.add_argument("--data.path", dest="path")
    path.add_argument("--data.annotations", dest="annotations")
    place = path.parse_known_args(rest)[0]
    if known.data is None and place.path is not None:
        known.data = "boxes" if place.annotations else detect_source(Path(place.path).expanduser())
    return {"preset": preset} | {part: name for part, name in vars(known).items() if name}, rest


def _flags(base: Experiment) -> Any:
    """The flags of this experiment's choices, as a dataclass type for tyro."""
    fields: list[tuple[str, Any, Any]] = []
    for part, table in TABLES.items():
        choice = getattr(base, part)
        options = options_of(table[choice.name])
        inner: list[tuple[str, Any, Any]] = [("name", Literal[tuple(table)], choice.name)]
        for name, option in options.items():
            default = choice.options.get(name, option.default)
            inner.append((name, option.kind, tyro.MISSING if default is Option.required else default))
        kind = dataclasses.make_dataclass(part.capitalize(), inner, frozen=True)
        kind.__doc__ = f"Options of {choice.name}."
        fields.append((part, kind, dataclasses.field(default_factory=kind)))
    fields += [
        ("optimizer", Optimizer, base.optimizer),
        ("training", Training, base.training),
        ("seed", int, base.seed),
        ("launch", tyro.conf.OmitArgPrefixes[Launch], Launch()),
    ]
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def _choice(base: Choice, parsed: Any, part: str) -> Choice:
    """The options that the preset or the command line set; the others keep following their defaults."""
    table = TABLES[part]
    defaults = options_of(table[base.name])
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed) if f.name != "name"}
    kept = {n: v for n, v in values.items() if n in base.options or v != defaults[n].default}
    return check_choice(Choice(base.name, **kept), table, part)


def _description(base: Experiment) -> str:
    return (
        f"Train {base.model.name} on {base.data.name} ({base.task.name}). Presets: {', '.join(PRESETS)}. "
        "--model.name, --data.name and --task.name choose; the flags below are those of the chosen."
    )
