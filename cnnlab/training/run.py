"""Run directories: locking, the stored experiment, and the history of metrics.

RUN/experiment.json    the experiment; another experiment is refused
RUN/metrics.jsonl      one line an epoch
RUN/checkpoints/STEP/  the latest and the best step
RUN/figures/           figures as PNG files
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnlab.data import places
from cnnlab.files.atomic import LOCK, lock, write_text
from cnnlab.files.strict_json import without_nan
from cnnlab.runtime.devices import is_first_process
from cnnlab.training.experiment import TABLES, Experiment, with_defaults

EXPERIMENT, METRICS, CHECKPOINTS = "experiment.json", "metrics.jsonl", "checkpoints"


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
            old = Experiment.from_json(_read_experiment(stored))
            old = dataclasses.replace(old, **{part: with_defaults(getattr(old, part), TABLES[part]) for part in TABLES})
            _check_same(run_dir, old.to_json(), experiment.to_json())
        write_text(stored, json.dumps(experiment.to_json(), indent=2) + "\n")
        yield


def _read_experiment(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON ({error}); restore it, or choose another --run-dir") from error


def _check_same(run_dir: Path, stored: dict[str, Any], experiment: dict[str, Any]) -> None:
    """Raises `ValueError` if an experiment differs from the stored one in more than epochs and the data's paths."""
    old, new = _flat(stored), _flat(experiment)
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key) and key not in may_change()]
    if changed:
        pairs = [f"{key} is {old.get(key, 'unset')} there, {new.get(key, 'unset')} here" for key in changed]
        raise ValueError(f"{run_dir} holds another experiment: {'; '.join(pairs)}. Choose another --run-dir")
    if new["training.epochs"] < old["training.epochs"]:
        raise ValueError(
            f"{run_dir} was trained for {old['training.epochs']} epochs, more than {new['training.epochs']}; "
            f"set --training.epochs {old['training.epochs']} or more, or choose another --run-dir"
        )


def may_change() -> set[str]:
    """Returns the settings that may change when a run is resumed.

    They include the paths of the data, because digests of the splits identify the data.
    """
    return {"training.epochs", "training.save_minutes", "training.resident", *(f"data.{name}" for name in places())}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts to one dict with dotted names."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def read_history(run_dir: Path, *, until_step: int | None = None) -> list[dict[str, float]]:
    """Reads the history: a mapping for each epoch with `epoch`, `step`, `loss`, `validation_*` and `seconds`.

    Args:
      run_dir: run directory.
      until_step: last step to read; by default all epochs are read.
    """
    path = run_dir / METRICS
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # a line that was cut off when the run stopped
            break
        if until_step is None or row["step"] <= until_step:
            rows.append({name: math.nan if value is None else value for name, value in row.items()})
    return rows


def write_history(run_dir: Path, rows: list[dict[str, float]]) -> None:
    """Writes the history, replacing the old file."""
    if is_first_process():
        write_text(run_dir / METRICS, "".join(json.dumps(without_nan(row)) + "\n" for row in rows))
