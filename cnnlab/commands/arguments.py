"""The arguments of `cnnlab train` that stand for an experiment: the inverse of `parse_experiment`."""

import contextlib
import dataclasses
import io
import itertools
from typing import Any

from cnnlab.commands.options import DEFAULT, begun, parse_experiment
from cnnlab.training.experiment import TABLES, Experiment, options_of, with_defaults
from cnnlab.training.presets import get


def arguments_of(experiment: Experiment) -> list[str] | None:
    """Returns arguments that `parse_experiment` parses to an experiment; None if there are none.

    They name the model, the data and the task, and every setting that differs from what these names stand for.

    >>> arguments_of(get("digits-linear"))[6:]
    ['--optimizer.learning-rate', '0.001', '--training.epochs', '30', '--training.augmentation.shift', '0.0']
    """
    names = {part: getattr(experiment, part).name for part in TABLES}
    if any(name not in TABLES[part] for part, name in names.items()):  # the caller's own
        return None
    base, own, usual = begun(get(DEFAULT), names), {}, {}
    for part, name in names.items():
        own |= {f"{part}.{option}": value for option, value in getattr(experiment, part).options.items()}
        usual |= {f"{part}.{option}": each.default for option, each in options_of(TABLES[part][name]).items()}
        usual |= {f"{part}.{option}": value for option, value in getattr(base, part).options.items()}
    for part in ("optimizer", "training"):
        own |= _settings_in(getattr(experiment, part), part)
        usual |= _settings_in(getattr(base, part), part)
    different = [_argument(name, value, usual[name]) for name, value in own.items() if value != usual[name]]
    seed = ["--seed", str(experiment.seed)] if experiment.seed != base.seed else []
    named = itertools.chain(*((f"--{part}.name", name) for part, name in names.items()))
    arguments = [*named, *itertools.chain(*different), *seed]
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            parsed = parse_experiment(arguments)[0]
    except (ValueError, SystemExit):  # a value that no argument can be
        return None
    return arguments if _completed(parsed) == _completed(experiment) else None


def _settings_in(tree: Any, prefix: str) -> dict[str, Any]:
    """Returns the fields of nested dataclasses by their dotted names."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(tree):
        name, value = f"{prefix}.{field.name}", getattr(tree, field.name)
        out |= _settings_in(value, name) if dataclasses.is_dataclass(value) else {name: value}
    return out


def _argument(name: str, value: Any, usual: Any) -> list[str]:
    """Returns the argument that sets an option, whose default is `usual`.

    It is `--no-NAME` for False where the default is True or False, and has one text for each entry of a tuple.
    """
    group, _, last = name.replace("_", "-").rpartition(".")
    if isinstance(value, bool) and isinstance(usual, bool):
        return [f"--{group}.{last}" if value else f"--{group}.no-{last}"]
    return [f"--{group}.{last}", *map(str, value if isinstance(value, tuple | list) else (value,))]


def _completed(experiment: Experiment) -> dict[str, Any]:
    """Returns the settings of an experiment with the defaults of all options."""
    whole = {part: with_defaults(getattr(experiment, part), table) for part, table in TABLES.items()}
    return dataclasses.replace(experiment, **whole).to_json()
