"""Columns in array_record files, whose rows are read by index, in any order, by any number of threads and processes."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.files.atomic import replacing

SHARD_BYTES = 500_000_000  # most bytes of rows in a file
SUFFIX = ".array_record"
_PORTION = 32_000_000  # bytes of rows that are in memory while a file is written
_OPEN = 256  # files that stay open


@dataclasses.dataclass(frozen=True)
class Records:
    """Rows in files that behave like an array `[n, ...]`, indexed along its first axis only. No row stays in memory.

    A row is a record of its own, the bytes of its values; array_record checks them by a hash when it reads them.

    Attributes:
      paths: the files.
      rows: number of rows in each file but the last.
      kind: dtype of the values.
      sides: shape of a row.
      content: digest of all rows in the files.
      places: `[n]` numbers of the rows of this column among all rows of the files.
    """

    paths: tuple[Path, ...]
    rows: int
    kind: str
    sides: tuple[int, ...]
    content: str
    places: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """Returns the dtype of the values."""
        return np.dtype(self.kind)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns `(n, ...)`."""
        return (len(self), *self.sides)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, indices) -> np.ndarray:
        places = self.places[indices]
        if places.ndim == 0:
            return self[[int(indices)]][0]
        out = np.empty((len(places), *self.sides), self.dtype)
        shard, row = np.divmod(places, self.rows)
        for number in np.unique(shard):
            own = np.flatnonzero(shard == number)
            for place, record in zip(own, _read(self.paths[number], row[own].tolist()), strict=True):
                if len(record) != out[place].nbytes:
                    raise _damaged(self.paths[number], f"a row has {len(record):,} bytes")
                out[place] = np.frombuffer(record, self.dtype).reshape(self.sides)
        return out

    def take(self, indices) -> "Records":
        """Returns the column of these rows without reading them."""
        return dataclasses.replace(self, places=self.places[indices])

    def digest(self) -> str:
        """Returns a digest of the rows, from the digest that was computed when they were written."""
        return hashlib.sha256(f"{self.kind} {self.shape} {self.content}".encode() + self.places.tobytes()).hexdigest()


def rows_of_a_file(column: Any) -> int:
    """Returns how many rows of a column fit into `SHARD_BYTES`, one at least."""
    return max(1, SHARD_BYTES // row_bytes(column))


def row_bytes(column: Any) -> int:
    """Returns the bytes of one row of a column."""
    return int(np.prod(column.shape[1:])) * column.dtype.itemsize


def write_rows(path: Path, column: Any, chosen: np.ndarray, *, update: Callable[[Any], None], compressed: bool) -> None:
    """Writes rows of a column to a file, whole or not at all.

    Args:
      path: the file.
      column: anything that is indexed like an array `[n, ...]`.
      chosen: numbers of the rows.
      update: function that is called with the rows of each portion, in order.
      compressed: whether to compress each row without loss; labels of pixels become much smaller, photos do not.
    """
    writer_of = _module().ArrayRecordWriter
    portion = max(1, _PORTION // row_bytes(column))
    with replacing(path) as part:
        writer = writer_of(str(part), "group_size:1" if compressed else "group_size:1,uncompressed")
        try:
            for start in range(0, len(chosen), portion):
                rows = np.ascontiguousarray(column[chosen[start : start + portion]])
                for row in rows:
                    writer.write(row.tobytes())
                update(rows)
        finally:
            writer.close()


def _read(path: Path, rows: list[int]) -> list[bytes]:
    try:
        status = os.stat(path)
        return _reader(path, status.st_size, status.st_mtime_ns).read(rows)
    except (RuntimeError, OSError) as error:
        raise _damaged(path, error) from error


@functools.lru_cache(_OPEN)
def _reader(path: Path, size: int, time: int):
    """Opens a file; one that was written anew has another size or time."""
    return _module().ArrayRecordReader(str(path), "readahead_buffer_size:0")


if hasattr(os, "register_at_fork"):  # a forked child has none of the threads of its parent's readers
    os.register_at_fork(after_in_child=_reader.cache_clear)


def _damaged(path: Path, reason: Any) -> ValueError:
    return ValueError(f"cannot read {path} ({reason}); restore it, or pack the folder again")


def _module():
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ValueError(f"packs need array_record ({error}); install it with: pip install array-record") from error
    return array_record_module
