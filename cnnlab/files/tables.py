"""Tables as files: CSV, whose cells are short and safe in a spreadsheet, or Parquet, whose numbers are exact."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cnnlab.files.atomic import replacing, write_text
from cnnlab.files.cache import named
from cnnlab.quoting import for_csv

if TYPE_CHECKING:
    import pyarrow

TableFormat = Literal["csv", "parquet"]
"""Formats of tables, which are also the suffixes of their files."""

Columns = Mapping[str, Sequence[Any] | np.ndarray]
"""Columns of one length by name; None is a cell without a value."""


def short(value: Any) -> Any:
    """Returns a cell of a CSV file: truth as 0 or 1, a number with at most six digits, everything else as it is.

    >>> short(True), short(0.12345678), short("cat")
    (1, '0.123457', 'cat')
    """
    if isinstance(value, bool | np.bool_):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value


def csv_text(columns: Columns, *, cell: Callable[[Any], Any] = short) -> str:
    r"""Formats columns as CSV; no cell is a formula, and a cell without a value is empty.

    Args:
      columns: columns by name.
      cell: function from a value to its cell; by default numbers have at most six digits.

    >>> csv_text({"file": ["a.png", "=b"], "score": [0.5, None]})
    "file,score\na.png,0.5\n'=b,\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(for_csv, columns))
    rows = zip(*columns.values(), strict=True)
    writer.writerows([for_csv(named(cell(value))) for value in row] for row in rows)
    return text.getvalue()


def write_table(path: str | Path, columns: Columns, *, cell: Callable[[Any], Any] = short) -> Path:
    """Writes columns as a table, whole or not at all, and returns its path.

    Args:
      path: the file, which becomes Parquet if its suffix is `.parquet`, and CSV otherwise.
      columns: columns by name.
      cell: function from a value to its cell of a CSV file, as in `csv_text`; Parquet holds the values themselves.

    Raises:
      ValueError: the file becomes Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    if format_of(path) == "parquet":
        write_parquet(path, arrow_table(columns))
    else:
        write_text(path, csv_text(columns, cell=cell))
    return path


def format_of(path: str | Path) -> TableFormat:
    """Returns the format of a table's file: Parquet if its suffix is `.parquet`, and CSV otherwise."""
    return "parquet" if Path(path).suffix == ".parquet" else "csv"


def arrow_table(columns: Columns) -> "pyarrow.Table":
    """Returns columns as an Arrow table: numbers, truth values, text and lists of them keep their types.

    A column whose values have no common type becomes JSON text.

    >>> arrow_table({"file": ["a.png", "b.png"], "score": [0.5, None]}).schema.types
    [DataType(string), DataType(double)]
    """
    arrow = require_pyarrow()

    def column(values: Sequence[Any] | np.ndarray) -> "pyarrow.Array":
        if isinstance(values, np.ndarray) and values.dtype != object and values.ndim == 1:
            return arrow.array(values)
        listed = [value.item() if isinstance(value, np.generic) else value for value in values]
        listed = named(listed)
        try:
            array = arrow.array(listed)
            return array.cast(_as_in_parquet(array.type))
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError):
            return arrow.array([None if value is None else json.dumps(value) for value in listed])

    return arrow.table({str(name): column(values) for name, values in columns.items()})


def _as_in_parquet(kind: Any) -> Any:
    """Names the entries of lists as Parquet does, so that a table is the same after it was written and read."""
    arrow = require_pyarrow()
    if not arrow.types.is_list(kind):
        return kind
    return arrow.list_(arrow.field("element", _as_in_parquet(kind.value_type)))


def write_parquet(path: Path, table: "pyarrow.Table") -> None:
    """Writes an Arrow table as Parquet, whole or not at all."""
    require_pyarrow()
    from pyarrow import parquet

    with replacing(path) as part:
        parquet.write_table(table.combine_chunks(), part, compression="zstd")


def read_parquet(path: Path) -> "pyarrow.Table":
    """Reads a Parquet file as an Arrow table with the metadata of its writer.

    Raises:
      ValueError: the file is missing, cut short or no Parquet, or pyarrow is not installed.
    """
    arrow = require_pyarrow()
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path).read()
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is cut short or no Parquet file ({error}); remove it") from error


def check_format(format: str) -> None:
    """Raises `ValueError` if a format needs a package that is not installed, before anything is computed."""
    if format == "parquet":
        require_pyarrow()


def require_pyarrow() -> Any:
    """Returns the module `pyarrow`, which takes a moment to import; raises `ValueError` if it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise ValueError("Parquet needs the extra parquet: pip install 'cnnlab[parquet]'") from error
    return pyarrow
