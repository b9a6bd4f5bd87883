"""Writes a prediction over time to a table with one row for each time step."""

from pathlib import Path

from cnnlab.data import InputSpec
from cnnlab.files.tables import write_table
from cnnlab.predictions.records import readable
from cnnlab.tasks.task import Record


def write_series(record: Record, spec: InputSpec, path: Path) -> Record:
    """Writes the lists over time of a record to a file, and returns the record with the file's name in their place.

    The file is CSV, or Parquet if its suffix is `.parquet`.

    The first column is the time in seconds, or the number of the sample if the rate is not known. Then come `NAME`,
    `NAME.low` and `NAME.high` of each channel, and the other numbers, such as `NAME.variance`.
    """
    series = {name: lists for name, lists in record.items() if isinstance(lists, dict)}
    columns = {
        channel if name == "value" else f"{channel}.{name}": lists[channel]
        for channel in series["value"]
        for name, lists in series.items()
    }
    steps = range(len(next(iter(columns.values()))))
    times = {"sample": list(steps)} if spec.rate is None else {"seconds": [step / spec.rate for step in steps]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, times | columns, cell=readable)
    return {name: value for name, value in record.items() if name not in series} | {"series": str(path)}
