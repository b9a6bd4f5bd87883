"""Predictions as files: records in JSON and CSV, pictures as PNGs. What they hold, the task says."""

import csv
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.files.png import write_png
from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import Record, complete


def write_json(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes what the task makes of all records as JSON."""
    json.dump(complete(task).document(records), file, indent=2)
    file.write("\n")


def write_csv(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes one line a record: numbers by class become columns `probs.cat`, lists become JSON in their cell."""
    flat = [_flat(one) for one in records]
    columns = list(dict.fromkeys(name for one in flat for name in one))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)


WRITERS: dict[str, Callable[[Sequence[Record], TextIO, Task], None]] = {"json": write_json, "csv": write_csv}
"""Formats of `predictions.FORMAT` by name."""


def _flat(one: Record) -> Record:
    out: Record = {}
    for name, value in one.items():
        if isinstance(value, dict):
            out |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            out[name] = json.dumps(value) if isinstance(value, list) else value
    return out


def save_drawings(task: Task, prediction: Prediction, spec: InputSpec, photo: Photo, target: Path) -> dict[str, str]:
    """Writes the pictures that the task draws of a photo's prediction, at the photo's own size, upright.

    Args:
      task: of the network.
      prediction: of the photo.
      spec: of the network.
      photo: the photo.
      target: the files' common beginning: `out/photo` gives `out/photo_mask.png`.

    Returns:
      The files by name.
    """
    files = {}
    for name, picture in complete(task).draw(prediction, spec, photo).items():
        file = target.with_name(f"{target.name}_{name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_png(file, picture, size=photo.size)
        files[name] = str(file)
    return files


def naming() -> Callable[[Path], str]:
    """Returns a function that gives each file another name: its stem, with a number where that was given before.

    >>> name = naming()
    >>> [name(Path(path)) for path in ("a.png", "a.jpg", "a-2.png")]
    ['a', 'a-2', 'a-2-2']
    """
    given: set[str] = set()

    def name(path: Path) -> str:
        numbered = (f"{path.stem}-{i}" for i in itertools.count(2))
        chosen = next(name for name in itertools.chain([path.stem], numbered) if name not in given)
        given.add(chosen)
        return chosen

    return name
