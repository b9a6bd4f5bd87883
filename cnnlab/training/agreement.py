"""Checks that all processes of a training train the same thing, with one directory for the run."""

import json
import platform
import uuid
from pathlib import Path
from typing import Any

from cnnlab.data import places as names_of_places
from cnnlab.quoting import cut
from cnnlab.runtime.devices import is_first_process
from cnnlab.runtime.distributed import gathered, process
from cnnlab.training.run import flat

_ORDER = {"versions": 0, "experiment": 1, "data": 2}  # the first of these parts that differs is the cause of the others


def check_agreement(config: dict[str, Any]) -> None:
    """Raises `ValueError` in every process if settings, data or versions differ between the processes.

    Args:
      config: settings of this process from `run_config`, with a digest of every split and the versions.
    """
    settings = flat({**config, "versions": {"python": platform.python_version(), **config["versions"]}})
    # The place of the data may differ: digests identify it.
    places = {"data.name", *(f"experiment.data.{name}" for name in names_of_places())}
    own = {name: json.dumps(value, sort_keys=True) for name, value in settings.items() if name not in places}
    everywhere = [json.loads(text) for text in gathered(json.dumps(own))]
    if difference := first_difference(everywhere):
        raise ValueError(
            f"the processes of this training differ in {difference}. Give every process the same command, data and "
            "versions"
        )


def first_difference(everywhere: list[dict[str, str]]) -> str:
    """Names the settings in which the processes differ, and the values of the first of them; else an empty string.

    >>> first_difference([{"seed": "1", "versions.jax": "0.10"}, {"seed": "1", "versions.jax": "0.12"}])
    'versions.jax: 0.10 in process 0, 0.12 in process 1'
    """
    names = dict.fromkeys(name for settings in everywhere for name in settings)
    differing = [name for name in names if len({settings.get(name) for settings in everywhere}) > 1]
    if not differing:
        return ""
    first, *others = sorted(differing, key=lambda name: _ORDER.get(name.split(".")[0], len(_ORDER)))
    values = [settings.get(first, "unset") for settings in everywhere]
    other = next(number for number, value in enumerate(values) if value != values[0])
    more = f" (also {cut(', '.join(others), 200)})" if others else ""
    return f"{first}: {cut(values[0], 80)} in process 0, {cut(values[other], 80)} in process {other}{more}"


def check_shared(run_dir: Path) -> None:
    """Raises `ValueError` in every process unless all see the same run directory."""
    note = run_dir / f".{gathered(uuid.uuid4().hex)[0]}"
    if is_first_process():
        note.touch()
    gathered("")  # the note is written
    blind = [number for number, seen in enumerate(gathered("yes" if note.exists() else "")) if not seen]
    if is_first_process():
        note.unlink()
    if blind:
        raise ValueError(
            f"{process(blind[0])} sees another directory at {run_dir} than the first process; choose a --run-dir on a "
            "file system that all hosts share"
        )
