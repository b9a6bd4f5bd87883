"""Run directories: locking, the stored experiment, and the history of metrics.

RUN/experiment.json    the experiment; another experiment is refused
RUN/metrics.jsonl      one line an epoch
RUN/log.txt            what training printed, with the time
RUN/summary.txt        table of the parameters
RUN/tensorboard/       event files of TensorBoard, if the extra tensorboard is installed
RUN/checkpoints/STEP/  the latest and the best step
RUN/figures/           figures, and index.html, which shows them

A training over several seeds writes a run directory for each of them: DIR/seed0, DIR/seed1, ...
"""

import contextlib
import dataclasses
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnlab.data import places
from cnnlab.files.atomic import LOCK, lock, write_text
from cnnlab.files.strict_json import shown, without_nan
from cnnlab.files.text import parse_json, read_json
from cnnlab.runtime.devices import is_first_process
from cnnlab.training.experiment import TABLES, Experiment, from_stored, with_defaults

MAX_BYTES = 100_000_000  # of a file of a run
EXPERIMENT, METRICS, CHECKPOINTS = "experiment.json", "metrics.jsonl", "checkpoints"
LOG, SUMMARY, EVENTS = "log.txt", "summary.txt", "tensorboard"


@contextlib.contextmanager
def open_run(run_dir: Path, experiment: Experiment) -> Iterator[None]:
    """Locks a run directory for an experiment and stores the experiment in it.

    Of several processes that train together only the first one does so.

    Raises:
      ValueError: the directory holds another experiment or other files, or another process trains in it.
    """
    if not is_first_process():
        yield
        return
    if run_dir.exists() and not run_dir.is_dir():
        raise ValueError(f"{run_dir} is a file; choose a directory with --run-dir")
    files = {path.name for path in run_dir.iterdir()} if run_dir.is_dir() else set()
    if files - {LOCK} and EXPERIMENT not in files:
        raise ValueError(f"{run_dir} is not empty and holds no run; choose another --run-dir")
    run_dir.mkdir(parents=True, exist_ok=True)
    with lock(run_dir, f"another process trains in {run_dir}; wait for it or choose another --run-dir"):
        stored = run_dir / EXPERIMENT
        # Another experiment may replace this one as long as there is no checkpoint, for instance after a failed start.
        if stored.exists() and any(path.name.isdigit() for path in (run_dir / CHECKPOINTS).glob("*")):
            old = read_experiment(stored)
            old = dataclasses.replace(old, **{part: with_defaults(getattr(old, part), TABLES[part]) for part in TABLES})
            _check_same(run_dir, old.to_json(), experiment.to_json())
        write_text(stored, json.dumps(experiment.to_json(), indent=2) + "\n")
        yield


def runs_in(path: Path) -> list[Path]:
    """Returns the runs of a directory: itself, or those of all seeds in it, `seed0`, `seed1`, ..., by their number."""
    if (path / EXPERIMENT).exists():
        return [path]
    seeds = [run for run in path.glob("seed*") if run.name[4:].isdigit() and (run / EXPERIMENT).exists()]
    return sorted(seeds, key=lambda run: int(run.name[4:])) or [path]


def read_experiment(path: Path) -> Experiment:
    """Reads the experiment of a run.

    Raises:
      ValueError: the file is damaged, or holds a key or a value that no experiment has; file and place are named.
    """
    value = read_json(path, limit=MAX_BYTES)
    try:
        return from_stored(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; restore the file, or choose another --run-dir") from error


def _check_same(run_dir: Path, stored: dict[str, Any], experiment: dict[str, Any]) -> None:
    """Raises `ValueError` if an experiment differs from the stored one in more than epochs and the data's paths."""
    old, new = flat(stored), flat(experiment)
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key) and key not in may_change()]
    if changed:
        first, *others = sorted(changed, key=lambda key: (not key.endswith(".name"), key))
        more = (
            f", and {len(others)} other settings differ"
            if len(others) > 1
            else f" ({others[0]}, too)"
            if others
            else ""
        )
        raise ValueError(
            f"{run_dir} holds another experiment: its {first} is {old.get(first, 'unset')}, here it is "
            f"{new.get(first, 'unset')}{more}. cnnlab train --resume {run_dir} takes all settings from the run; for "
            "a new run choose another --run-dir"
        )
    if new["training.epochs"] < old["training.epochs"]:
        raise ValueError(
            f"{run_dir} was trained for {old['training.epochs']} epochs, more than {new['training.epochs']}; "
            f"set --training.epochs {old['training.epochs']} or more, or choose another --run-dir"
        )


def may_change() -> set[str]:
    """Returns the settings that may change when a run is resumed.

    They include the paths of the data, because digests of the splits identify the data.
    """
    own = {"training.epochs", "training.save_minutes", "training.resident", "training.remat"}
    return own | {f"data.{name}" for name in places()}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts to one dict with dotted names."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def read_history(run_dir: Path, *, until_step: int | None = None) -> list[dict[str, float]]:
    """Reads the history: a mapping for each epoch with `epoch`, `step`, `loss`, `validation_*` and `seconds`.

    Args:
      run_dir: run directory.
      until_step: last step to read; by default all epochs are read.

    A damaged line is left out with a warning that names it.

    Raises:
      ValueError: the history is no regular file.
    """
    path = run_dir / METRICS
    if not path.exists():
        return []
    if not path.is_file():  # to open a pipe would wait for its writer
        raise ValueError(f"{path} is not a regular file; move it away")
    rows = []
    for number, line in enumerate(path.read_bytes()[:MAX_BYTES].splitlines(), 1):
        try:
            row = _history_row(line.decode(errors="replace"), f"{path} line {number}")
        except ValueError as error:
            warnings.warn(f"{error}; the epoch is left out of the history", stacklevel=2)
            continue
        if until_step is None or row["step"] <= until_step:
            rows.append(row)
    return rows


def _history_row(text: str, where: str) -> dict[str, float]:
    value = parse_json(text, where)
    if not isinstance(value, dict) or type(value.get("step")) is not int:
        raise ValueError(f"{where} must be an object with the whole number step, found {shown(value)}")
    for name, number in value.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise ValueError(f"{where}: {name} must be a number or null, found {shown(number)}")
    return {name: math.nan if number is None else number for name, number in value.items()}


def write_history(run_dir: Path, rows: list[dict[str, float]]) -> None:
    """Writes the history, replacing the old file."""
    if is_first_process():
        write_text(run_dir / METRICS, "".join(json.dumps(without_nan(row)) + "\n" for row in rows))
