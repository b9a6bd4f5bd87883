"""Reads a signal from a file: a NumPy array or a CSV table with one row for each time step."""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.listing import find_files, list_files

SUFFIXES = (".npy", ".csv")
"""Suffixes of files of signals, in lower case."""

MAX_BYTES = 500_000_000
MAX_CHANNELS = 1024


def find_signals(paths: Sequence[str | Path]) -> list[Path]:
    """Returns the signals of paths: files as they are, folders as the signals below them in them.

    Raises:
      ValueError: a path does not exist, or a folder contains no signal.
    """
    return find_files(paths, _list_signals, kind="signal", suffixes=SUFFIXES)


def _list_signals(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the signals below a folder and all other files, sorted."""
    files = sorted(itertools.chain(*list_files(folder)))
    signals = [file for file in files if is_named_like_a_signal(file)]
    return signals, [file for file in files if not is_named_like_a_signal(file)]


def is_named_like_a_signal(path: Path) -> bool:
    """Returns whether a file is a signal by its suffix in any case."""
    return path.suffix.lower() in SUFFIXES


class Signal(NamedTuple):
    """The samples `[T, C]` of a file, float64 with NaN where one is missing, and the names of its channels."""

    samples: np.ndarray
    names: tuple[str, ...]


def read_signal(path: str | Path) -> Signal:
    """Reads `[T]` or `[T, C]` numbers from a `.npy` file, or the rows of a `.csv` file.

    A CSV file is UTF-8, with commas, one column a channel; its first row may name the channels. An empty cell and `nan`
    are missing samples. Channels without a name are numbered.

    Raises:
      ValueError: the file cannot be read, holds other things than numbers, is empty, or holds infinity.

    >>> read_signal("speed.csv")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: speed.csv cannot be read ...
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} must be a {' or '.join(SUFFIXES)} file of numbers [T, C]")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}; cut it into several files")
        samples, names = _read_npy(path) if path.suffix.lower() == ".npy" else _read_csv(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}); check the path") from error
    if samples.ndim != 2 or not samples.size:
        raise ValueError(f"{path} must hold numbers [T] or [T, C], found the shape {list(samples.shape)}")
    if samples.shape[1] > MAX_CHANNELS:
        raise ValueError(
            f"{path} has {samples.shape[1]:,} channels, more than {MAX_CHANNELS:,}; time is the first axis"
        )
    if np.isinf(samples).any():
        raise ValueError(f"{path} holds infinity; write nan for a sample that is missing")
    return Signal(samples, names or tuple(map(str, range(samples.shape[1]))))


def _read_npy(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of numbers ({error}); write it by numpy.save") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise ValueError(
            f"{path} must hold whole or floating-point numbers, found {getattr(values, 'dtype', 'several')}"
        )
    return (values[:, None] if values.ndim == 1 else values).astype(np.float64), ()


def _read_csv(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            # A row of one empty cell is a missing sample of a single channel.
            rows = [(reader.line_num, row or [""]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8 ({error}); save it with commas, as UTF-8") from error
    names: tuple[str, ...] = ()
    if rows and any(cell.strip() and not _is_number(cell) for cell in rows[0][1]):
        names = tuple(cell.strip() for cell in rows.pop(0)[1])
    if not rows:
        raise ValueError(f"{path} holds no row of numbers; add one row for each time step")
    width = len(names or rows[0][1])
    samples = np.full((len(rows), width), np.nan)
    for i, (line, row) in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{path} line {line}: {len(row)} cells for {width} channels; fix the row")
        for k, cell in enumerate(row):
            if not cell.strip():
                continue
            if not _is_number(cell):
                raise ValueError(f"{path} line {line}: a sample must be a number or empty, found {cell!r}")
            samples[i, k] = float(cell)
    return samples, names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
