"""The options of `cnnlab train`: first the names of model, data and task, then the options of each of them."""

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from cnnlab.commands.forms import form, form_of, help_texts, settings_of
from cnnlab.console import console
from cnnlab.data import SOURCES, Augmentation, kind_of, print_kind
from cnnlab.data.sources.tfds_directory import is_known
from cnnlab.errors import unknown
from cnnlab.files.addresses import is_address
from cnnlab.files.cache import address
from cnnlab.files.copying import local
from cnnlab.files.figures import FigureFormat
from cnnlab.runtime.distributed import announced
from cnnlab.training import automatic
from cnnlab.training.experiment import (
    AUTO,
    TABLES,
    Choice,
    Entry,
    Experiment,
    Option,
    Training,
    check_choice,
    options_of,
    target_of,
)
from cnnlab.training.optimizer import Optimizer
from cnnlab.training.presets import PRESETS, get
from cnnlab.training.run import EXPERIMENT, may_change, read_experiment, runs_in

DEFAULT = "digits-lenet5"

COMMON = {
    *("model.name", "model.dropout", "model.spatial_dropout", "model.width"),
    *("data.name", "data.path", "data.mask", "data.masks", "data.annotations", "data.set", "data.annotation"),
    *("data.size", "data.window", "data.channels", "data.validation", "data.test"),
    *("task.name", "task.kind", "task.class_weights"),
    *("optimizer.name", "optimizer.learning_rate", "optimizer.schedule", "optimizer.weight_decay"),
    *("training.epochs", "training.batch_size", "training.patience", "training.seeds"),
    *(f"training.augmentation.{name}" for name in ("horizontal_flip", "shift", "rotation", "zoom", "brightness")),
    *("seed", "run_dir", "resume", "init_from", "verbose", "all", "json", "figure_format"),
    "distributed",
}
"""The options that `--help` lists; `--help-all` lists all."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """Options of `cnnlab train` that do not belong to the experiment.

    Attributes:
      run_dir: run directory, or an address such as s3://bucket/run; by default runs/PRESET, or runs/DATA-MODEL-DIGEST
        for other options.
      resume: run to resume or extend; all options that are not given are those of the run.
      init_from: run or torchvision state dict (.safetensors, .pth) that gives the initial parameters.
      verbose: print the table of parameters, too; RUN/summary.txt always holds it.
      all: print all test metrics and tables, and not only the verdict.
      figure_format: file type of the figures: png (300 dpi), or pdf or svg, which print sharply at any size.
      json: print the test metrics as one JSON object.
      distributed: train with the other processes that run this command, on one host or many; the default where SLURM,
        Open MPI, Kubernetes or JAX_COORDINATOR_ADDRESS announce them.
    """

    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    init_from: Annotated[Path | None, tyro.conf.arg(metavar="RUN|FILE")] = None
    verbose: bool = False
    all: bool = False
    figure_format: FigureFormat = "png"
    json: bool = False
    distributed: bool = dataclasses.field(default_factory=lambda: announced(os.environ))


def parse_experiment(arguments: Sequence[str]) -> tuple[Experiment, Launch]:
    """Parses the arguments of `cnnlab train` to an experiment and the other options.

    Raises:
      ValueError: a preset, model, data source or task is unknown, or a value is out of range.
      SystemExit: an option does not parse (exit code 2), or help was printed (exit code 0).
    """
    names, suited, rest = _parse_names(arguments)
    preset, resumed = names.pop("preset"), names.pop("resume", None)
    if resumed is not None:
        base, preset = _resumed(Path(resumed), names, preset), None
    else:
        base = begun(get(preset or DEFAULT), names)
        if preset is None:
            base = _suited(base, suited, chooses_network="model" not in names)
        preset = preset or DEFAULT
    shown = None
    if {"-h", "--help", "--help-all"} & set(rest):  # only then are options left out, which tyro would not parse
        shown, rest = None if "--help-all" in rest else COMMON, ["--help"]
    flags, description = _flags(base, shown), _description(base, shown)
    parsed = tyro.cli(flags, args=rest, prog="cnnlab train [PRESET]", description=description)
    choices = {part: _choice(getattr(base, part), getattr(parsed, part), part) for part in TABLES}
    label = choices["data"].name
    if names_of_paths := SOURCES[label].paths:
        # Absolute paths let the run be evaluated from any directory.
        paths = {name: choices["data"].options.get(name) for name in names_of_paths}
        absolute = {name: _absolute(path) for name, path in paths.items() if path is not None}
        choices["data"] = choices["data"].replace(**absolute)
        first = local(absolute[names_of_paths[0]])
        label = first.stem if first.is_file() else first.name
    optimizer, training = settings_of(Optimizer, parsed.optimizer), settings_of(Training, parsed.training)
    experiment = Experiment(**choices, optimizer=optimizer, training=training, seed=parsed.seed)
    launch = settings_of(Launch, parsed.launch)
    if resumed is not None:
        if launch.run_dir is not None:
            raise ValueError(f"--resume continues in {resumed}; leave --run-dir {launch.run_dir} out")
        return experiment, dataclasses.replace(launch, run_dir=Path(resumed), resume=Path(resumed))
    return experiment, dataclasses.replace(
        launch, run_dir=launch.run_dir or Path("runs") / _run_name(experiment, preset, label, launch.init_from)
    )


def is_distributed(arguments: Sequence[str]) -> bool:
    """Returns whether a command trains with other processes, which must be connected before anything else happens."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--distributed", action=argparse.BooleanOptionalAction, default=announced(os.environ))
    asks_help = {"-h", "--help", "--help-all"} & set(arguments)
    return not asks_help and parser.parse_known_args(list(arguments))[0].distributed


def _absolute(path: str) -> str:
    """Returns an absolute path, or the address of data elsewhere."""
    return address(path) if is_address(path) else str(Path(path).expanduser().resolve())


def _resumed(run: Path, names: dict[str, str], preset: str | None) -> Experiment:
    """Returns the experiment of a run; raises `ValueError` if the command names other parts."""
    if preset is not None:
        raise ValueError(f"--resume takes all options from the run, found the preset {preset}, too; leave either out")
    base = read_experiment(_stored(run))
    if different := [f"--{part}.name" for part, name in names.items() if name != getattr(base, part).name]:
        raise ValueError(f"{run} cannot be resumed with another {different[0]}; leave it out, or leave --resume out")
    return base


def begun(base: Experiment, names: dict[str, str]) -> Experiment:
    """Returns a preset with the model, data and task of these names, whose options are their defaults."""
    for part, name in names.items():
        if part == "data" and name not in SOURCES and is_known(name):
            base = dataclasses.replace(base, data=Choice("tfds", set=name))
            continue
        if name not in TABLES[part] and (part, name) != ("model", AUTO):
            raise unknown(part, name, TABLES[part])
        if name != getattr(base, part).name:
            base = dataclasses.replace(base, **{part: Choice(name)})
            if part != "model":  # the augmentation of a preset suits only its own data
                base = dataclasses.replace(
                    base, training=dataclasses.replace(base.training, augmentation=Augmentation())
                )
    return base


def _suited(base: Experiment, task: Choice | None, *, chooses_network: bool) -> Experiment:
    """Returns the experiment with the task that suits the data and, if none is named, its network; prints the choice.

    A network that depends on the images stays `auto`.
    """
    if task is not None:
        base = dataclasses.replace(base, task=task)
    words, flags = [f"task {base.task.name}"], ["--task.name"]
    if chooses_network:
        network = automatic.fixed_network(base.task.name, signals=base.data.name == "signals")
        if network is not None:
            words, flags = [*words, f"network {network.name}"], [*flags, "--model.name"]
        if network or SOURCES[base.data.name].paths:
            base = dataclasses.replace(base, model=network or Choice(AUTO))
    if task is not None and task.name != "classification":
        verb = "choose others" if len(flags) > 1 else "chooses another"
        console().print(f"chosen by its annotations: {', '.join(words)}; {' and '.join(flags)} {verb}", soft_wrap=True)
    return base


def _stored(run: Path) -> Path:
    """Returns the file with the experiment of a run; a directory of several seeds is not one run."""
    if not (run / EXPERIMENT).exists():
        if (first := runs_in(run)[0]) != run:
            repeat = "repeat the command that began them"
            raise ValueError(f"{run} holds several runs; resume one, such as --resume {first}, or {repeat}")
        raise ValueError(f"{run} is no run; --resume takes the --run-dir of a training")
    return run / EXPERIMENT


def _run_name(experiment: Experiment, preset: str, data: str, init_from: str | None) -> str:
    """Returns the default name of a run directory.

    It is the preset's name if all settings are those of the preset, apart from those that may change when a run is
    resumed. Otherwise it consists of data, model and a digest of the settings.
    """
    settings = experiment.to_json()
    if init_from is not None:
        settings["init_from"] = address(init_from)
    elif _fixed_settings(settings) == _fixed_settings(PRESETS[preset].to_json()):
        return preset
    digest = hashlib.sha256(json.dumps(_fixed_settings(settings), sort_keys=True).encode()).hexdigest()
    network = "" if experiment.model.name == AUTO else f"-{experiment.model.name}"
    return f"{data}{network}-{digest[:6]}"


def _fixed_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Removes the training settings that may change when a run is resumed, such as the number of epochs."""
    fixed = {name: value for name, value in settings["training"].items() if f"training.{name}" not in may_change()}
    return settings | {"training": fixed | {"epochs": None}}


def _parse_names(arguments: Sequence[str]) -> tuple[dict[str, str | None], Choice | None, list[str]]:
    """Parses the preset and the names of model, data and task.

    Returns:
      The names, the task that suits the data if none is named, and the other arguments.
    """
    arguments = list(arguments)
    preset = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    for part in TABLES:
        parser.add_argument(f"--{part}.name", dest=part)
    known, rest = parser.parse_known_args(arguments)
    path = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    path.add_argument("--data.path", dest="path")
    for option in ("annotations", "format", "masks"):
        path.add_argument(f"--data.{option}", dest=option)
    location = path.parse_known_args(rest)[0]
    column = SOURCES[known.data].column if known.data in SOURCES else None
    if known.data is None and known.resume is None and location.path is not None:
        task = known.task or (get(preset).task.name if preset in PRESETS else None)
        known.data, column = _source(local(location.path).expanduser(), task, location)
    is_open = known.task is None and known.resume is None and preset is None
    suited = automatic.TASKS_OF_COLUMNS[column] if is_open and column is not None else None
    return {"preset": preset} | {part: name for part, name in vars(known).items() if name}, suited, rest


def _source(path: Path, task: str | None, location: argparse.Namespace) -> tuple[str, str | None]:
    """Returns the source of a folder, by an option that belongs to one or by its files, and its column."""
    if location.masks or location.annotations or location.format:
        name = "pairs" if location.masks else "outlines" if task == "segmentation" else "boxes"
        return name, SOURCES[name].column
    kind = kind_of(path, task)
    if path.is_dir():
        print_kind(path, kind)
    return kind.source, kind.column


def _flags(base: Experiment, shown: Collection[str] | None) -> type:
    """Creates a dataclass type for tyro with the options of an experiment; `shown` as in `form`."""
    fields: list[tuple[str, Any, Any]] = []
    for part in TABLES:
        kind = choice_form(part, getattr(base, part), shown)
        fields.append((part, kind, kind))
    optimizer, training = form_of("optimizer", base.optimizer, shown), form_of("training", base.training, shown)
    launch = form_of("", Launch(), shown)
    fields += [
        ("optimizer", optimizer, optimizer),
        ("training", training, training),
        ("seed", int, base.seed),
        ("launch", tyro.conf.OmitArgPrefixes[launch], launch),
    ]
    return form("", "", fields, help_texts(Experiment), shown)


def choice_form(part: str, choice: Choice, shown: Collection[str] | None = None) -> type:
    """Creates a dataclass type for tyro with the name of a model, data source or task and its options.

    Args:
      part: `model`, `data` or `task`.
      choice: the choice, whose options are the defaults.
      shown: as in `form`.
    """
    table, texts = _table(part), {"name": f"choice of the {part}; each has options of its own."}
    flags: list[tuple[str, Any, Any]] = [("name", Literal[tuple(table)], choice.name)]
    places = SOURCES[choice.name].paths if part == "data" else ()
    for name, option in options_of(table[choice.name]).items():
        default = choice.options.get(name, option.default)
        kind = Annotated[option.kind, tyro.conf.arg(metavar="PATH")] if name in places else option.kind
        flags.append((name, kind, tyro.MISSING if default is Option.required else default))
    texts |= help_texts(target_of(table[choice.name]))
    return form(part, f"Options of {choice.name}.", flags, texts, shown)


def _table(part: str) -> dict[str, Entry]:
    """Returns the table of a choice; that of networks with `auto`."""
    return {AUTO: automatic.options, **TABLES[part]} if part == "model" else TABLES[part]


def _choice(base: Choice, parsed: Any, part: str) -> Choice:
    """Returns a choice with the options that the preset or the command line sets; others follow their defaults."""
    table = _table(part)
    defaults = options_of(table[base.name])
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed) if f.name != "name"}
    options = {n: v for n, v in values.items() if n in base.options or v != defaults[n].default}
    return check_choice(Choice(base.name, **options), table, part)


def _description(base: Experiment, shown: Collection[str] | None) -> str:
    more = "" if shown is None else " --help-all lists all options; this help lists the common ones."
    return (
        f"Train {base.model.name} on {base.data.name} ({base.task.name}). Presets: {', '.join(PRESETS)}. "
        "--model.name, --data.name and --task.name choose others; the options below belong to these choices." + more
    )
