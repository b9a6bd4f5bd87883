"""Writes predictions to files: records as JSON and CSV, drawings as PNG. The task defines their content."""

import csv
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.files.png import write_png
from cnnlab.quoting import for_csv, for_file_name
from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import Record, complete


def write_json(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes the task's document of all records as JSON."""
    json.dump(complete(task).document(records), file, indent=2)
    file.write("\n")


def write_csv(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes one CSV line per record. Numbers by class become columns such as `probs.cat`, lists become JSON text."""
    flat = [_flat(record) for record in records]
    columns = list(dict.fromkeys(name for record in flat for name in record))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(for_csv, columns))
    writer.writerows([for_csv(record.get(name, "")) for name in columns] for record in flat)


WRITERS: dict[str, Callable[[Sequence[Record], TextIO, Task], None]] = {"json": write_json, "csv": write_csv}
"""Formats of `predictions.FORMAT` by name."""


def _flat(record: Record) -> Record:
    out: Record = {}
    for name, value in record.items():
        if isinstance(value, dict):
            out |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            out[name] = json.dumps(value) if isinstance(value, list) else value
    return out


def save_drawings(task: Task, prediction: Prediction, spec: InputSpec, photo: Photo, target: Path) -> dict[str, str]:
    """Writes the task's drawings of a photo's prediction, upright, at the photo's own size.

    Args:
      task: task of the network.
      prediction: prediction of the photo, without a batch axis.
      spec: input specification of the network.
      photo: the photo.
      target: common beginning of the files' paths: `out/photo` gives `out/photo_mask.png`.

    Returns:
      Paths of the files by the name of the drawing.
    """
    files = {}
    for name, drawing in complete(task).draw(prediction, spec, photo).items():
        file = target.with_name(f"{target.name}_{name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_png(file, drawing, size=photo.size)
        files[name] = str(file)
    return files


def naming() -> Callable[[Path], str]:
    """Returns a function that names the output of each file: by its stem, with a number if the stem is in use.

    A name is no path: it never leads out of the output directory.

    >>> name = naming()
    >>> [name(Path(path)) for path in ("a.png", "a.jpg", "a-2.png")]
    ['a', 'a-2', 'a-2-2']
    """
    used: set[str] = set()

    def name(path: Path) -> str:
        stem = for_file_name(path.stem)
        numbered = (f"{stem}-{i}" for i in itertools.count(2))
        chosen = next(name for name in itertools.chain([stem], numbered) if name not in used)
        used.add(chosen)
        return chosen

    return name
