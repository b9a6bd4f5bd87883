"""CSV tables that describe the files of a folder: their rows, the files that they name, and their splits."""

import csv
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from cnnlab.errors import unknown
from cnnlab.files.listing import existing_file
from cnnlab.files.strict_json import shown

MAX_BYTES = 200_000_000  # a million rows take some 50 MB
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


class Table(NamedTuple):
    """A table with a header.

    Attributes:
      path: its file.
      column: the cells of each column by its name, without spaces at their ends.
      lines: number of the line on which each row ends.
    """

    path: Path
    column: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def at(self, row: int) -> str:
        """Returns the path and the line of a row for a message."""
        return f"{self.path} line {self.lines[row]}"

    def files(self, name: str) -> list[str]:
        """Returns the files of a column relative to the table's folder; backslashes count as slashes.

        Raises:
          ValueError: a cell names no file inside the folder, or one that does not exist.
        """
        found: dict[str, str] = {}  # looking for a file takes time, and a table may name one in many rows
        for row, cell in enumerate(self.column[name]):
            if cell not in found:
                found[cell] = self._file(cell, name, row)
        return [found[cell] for cell in self.column[name]]

    def splits(self) -> np.ndarray | None:
        """Returns the split of each row `[n]`, from the column `split`; None without it."""
        if "split" not in self.column:
            return None
        for row, name in enumerate(self.column["split"]):
            if name not in SPLITS:
                raise ValueError(f"{self.at(row)}: {unknown('split', name, SPLITS)}")
        return np.array([SPLITS[name] for name in self.column["split"]], object)

    def _file(self, cell: str, name: str, row: int) -> str:
        root = self.path.parent
        if not cell:
            raise ValueError(f"{self.at(row)}: the row names no file; fill in its cell {name!r} or remove the row")
        place = PurePosixPath(cell.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{self.at(row)}: {name} must be relative to {root} and inside it, found {cell!r}")
        path = existing_file(root / cell) or existing_file(root / place)
        if path is None:
            raise ValueError(f"{self.at(row)}: there is no file {root / place}; add it or remove the row")
        return path.relative_to(root).as_posix()


def read_table(path: Path, *, header: str, row: str) -> Table:
    """Reads a UTF-8 table of cells with commas between them.

    Args:
      path: the file.
      header: an example of a header, for messages.
      row: what a row is for, for messages.

    Raises:
      ValueError: the file is too large, no CSV file or empty, column names are not unique, or a row has another number
        of cells than the header.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}; split the folder")
    rows, lines = _rows(path)
    if not rows:
        raise ValueError(f"{path} is empty; its first line must be a header such as {header}")
    names = rows.pop(0)
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"{path}: column names must be unique and not empty, found {shown(','.join(names))}")
    if len(names) == 1 and (separators := [sign for sign in (";", "\t") if sign in names[0]]):
        raise ValueError(f"{path} has {separators[0]!r} between its cells; save it with commas")
    if not rows:
        raise ValueError(f"{path} has a header and no row; add one row per {row}")
    for cells, line in zip(rows, lines[1:], strict=True):
        if len(cells) != len(names):
            raise ValueError(f"{path} line {line}: {len(cells)} cells for {len(names)} columns; fix the row")
    return Table(path, dict(zip(names, zip(*rows, strict=True), strict=True)), tuple(lines[1:]))


def _rows(path: Path) -> tuple[list[list[str]], list[int]]:
    """Reads the rows that are not empty, and the number of the line on which each one ends."""
    rows, lines = [], []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append([cell.strip() for cell in row])
                    lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file ({error}); check the quotes") from error
    return rows, lines
