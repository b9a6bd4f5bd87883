"""Writes a prediction over time to a CSV file with one row for each time step."""

import csv
import io
from pathlib import Path

from cnnlab.data import InputSpec
from cnnlab.files.atomic import write_text
from cnnlab.predictions.records import readable
from cnnlab.quoting import for_csv
from cnnlab.tasks.task import Record


def write_series(record: Record, spec: InputSpec, path: Path) -> Record:
    """Writes the lists over time of a record to a file, and returns the record with the file's name in their place.

    The first column is the time in seconds, or the number of the sample if the rate is not known. Then come `NAME`,
    `NAME.low` and `NAME.high` of each channel, and the other numbers, such as `NAME.variance`.
    """
    series = {name: lists for name, lists in record.items() if isinstance(lists, dict)}
    columns = {
        channel if name == "value" else f"{channel}.{name}": lists[channel]
        for channel in series["value"]
        for name, lists in series.items()
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(for_csv, ("sample" if spec.rate is None else "seconds", *columns)))
    for step, cells in enumerate(zip(*columns.values(), strict=True)):
        writer.writerow([step if spec.rate is None else readable(step / spec.rate), *map(readable, cells)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())
    return {name: value for name, value in record.items() if name not in series} | {"series": str(path)}
