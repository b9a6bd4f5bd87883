"""Writes predictions to files: records as JSON, CSV and Parquet, drawings as PNG. The task defines their content."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.files.png import write_png
from cnnlab.files.tables import csv_text
from cnnlab.quoting import for_file_name
from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import Record, complete


def write_json(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes the task's document of all records as JSON."""
    json.dump(complete(task).document(records), file, indent=2)
    file.write("\n")


def write_csv(records: Sequence[Record], file: TextIO, task: Task) -> None:
    """Writes one CSV line per record, with the task's columns in its order.

    Numbers by class become columns such as `probs.cat`. Lists of names are joined by `;` as in `targets.csv`, other
    lists become JSON text. Numbers have the digits of `readable`. The columns of the entries that a record lists in
    `uncalibrated` begin with that word.
    """
    file.write(csv_text(columns_of(records, task, cell=_cell, entry=readable), cell=_as_it_is))


def _as_it_is(value: Any) -> Any:
    return value


def columns_of(
    records: Sequence[Record],
    task: Task,
    *,
    cell: Callable[[Any], Any] = _as_it_is,
    entry: Callable[[Any], Any] = _as_it_is,
) -> dict[str, list[Any]]:
    """Returns the task's columns of records in its order, named as by `write_csv`; None where a record has no value.

    Args:
      records: the records.
      task: the task.
      cell: function from a value to that of the column; by default the value itself.
      entry: the same function for each entry of a dict.
    """
    flat = [_flat(complete(task).line(record), cell, entry) for record in records]
    return {name: [record.get(name) for record in flat] for name in dict.fromkeys(itertools.chain(*flat))}


WRITERS: dict[str, Callable[[Sequence[Record], TextIO, Task], None]] = {"json": write_json, "csv": write_csv}
"""Formats of `predictions.FORMAT` by name."""


def _flat(record: Record, cell: Callable[[Any], Any], entry: Callable[[Any], Any]) -> Record:
    out: Record = {}
    before = record.get("uncalibrated", ())
    for name, value in record.items():
        if name == "uncalibrated":
            continue
        column = f"uncalibrated.{name}" if name in before else name
        if isinstance(value, dict):
            out |= {f"{column}.{key}": entry(item) for key, item in value.items()}
        else:
            out[column] = cell(value)
    return out


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return readable(value)
    if all(isinstance(item, str) and ";" not in item for item in value):
        return ";".join(value)
    return json.dumps([readable(item) for item in value])


def readable(value: Any) -> Any:
    """Rounds a number to the digits that mean something in float32; other values stay the same.

    Between -1 and 1, where probabilities lie, a number keeps four digits of its distance from 0 or 1, whichever is
    nearer. Other numbers keep six digits.

    >>> readable(0.86123396), readable(0.999987654), readable(1.23456789e-05), readable(1926.41796875)
    (0.8612, 0.99998765, 1.235e-05, 1926.42)
    """
    if not isinstance(value, float) or not math.isfinite(value) or value == 0:
        return value
    size = abs(value)
    near, digits = (min(size, 1 - size), 4) if size < 1 else (size, 6)
    return round(value, digits - 1 - math.floor(math.log10(near)))


def save_drawings(task: Task, prediction: Prediction, spec: InputSpec, photo: Photo, target: Path) -> dict[str, str]:
    """Writes the task's drawings of a photo's prediction, upright, at the photo's own size if they cover it.

    Args:
      task: task of the network.
      prediction: prediction of the photo, without a batch axis.
      spec: input specification of the network.
      photo: the photo.
      target: common beginning of the files' paths: `out/photo` gives `out/photo_boxes.png`.

    Returns:
      Paths of the files by the name of the drawing.
    """
    files = {}
    for name, drawing in complete(task).draw(prediction, spec, photo).items():
        file = target.with_name(f"{target.name}_{name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_png(file, drawing, size=photo.size if drawing.fits else None)
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
    numbers: dict[str, Iterator[int]] = {}  # a million files of one stem are not counted again for each

    def name(path: Path) -> str:
        stem = chosen = for_file_name(path.stem)
        while chosen in used:
            chosen = f"{stem}-{next(numbers.setdefault(stem, itertools.count(2)))}"
        used.add(chosen)
        return chosen

    return name
