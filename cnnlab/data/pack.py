"""Packs: the examples of a dataset in files that are read much faster than photos are decoded.

A pack is a folder. `pack.json` describes it. The columns of pixels, such as `image` and `mask`, are resized and lie in
array_record files; all other columns lie in files of NumPy.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.columns import COLUMNS
from cnnlab.data.dataset import Examples
from cnnlab.data.ragged import Ragged
from cnnlab.data.records import SUFFIX, Records
from cnnlab.data.spec import InputSpec
from cnnlab.files.strict_json import decode
from cnnlab.files.text import read_json

PACK = "pack.json"
UNFINISHED = "unfinished.json"
VERSION = 1
MOST = 1_000_000_000  # examples of a split
JSON_BYTES = 500_000_000  # of a JSON file; the names of a million files take some 80 MB


@dataclasses.dataclass(frozen=True)
class PackedColumn:
    """One column of a split.

    Attributes:
      name: name of the column.
      dtype: dtype of its values.
      shape: shape of the column, `[n, ...]`.
      digest: digest of its values.
      rows: rows in each file but the last; None for a column in a file of NumPy.
      fill: value of the padding of rows of different lengths; None for others.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: str
    rows: int | None = None
    fill: int | float | bool | None = None


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """One split: its name, its columns, and whether its examples come from files, whose names are stored."""

    name: str
    columns: tuple[PackedColumn, ...]
    files: bool


@dataclasses.dataclass(frozen=True)
class Pack:
    """The content of `pack.json`.

    Attributes:
      version: version of the format.
      name: name of the dataset.
      column: the column of annotations that decides the task, such as `label`.
      spec: input specification.
      remarks: sentences on how the data was read.
      photo_sizes: height and width of some training photos before they were resized.
      splits: the splits.
    """

    version: int
    name: str
    column: str
    spec: InputSpec
    remarks: tuple[str, ...]
    photo_sizes: tuple[tuple[int, int], ...] | None
    splits: tuple[PackedSplit, ...]


def read_pack(root: str | Path) -> Pack:
    """Reads the description of a pack.

    Raises:
      ValueError: the folder is no pack or an unfinished one, or the description is damaged.
    """
    path = Path(root) / PACK
    if not path.is_file():
        if (Path(root) / UNFINISHED).is_file():
            raise ValueError(f"{root} is a pack that is not finished; repeat the command `cnnlab data pack`")
        raise ValueError(f"{root} is no pack, it has no {PACK}; write one with: cnnlab data pack DIR --output {root}")
    value = read_json(path, limit=JSON_BYTES)
    try:
        pack = decode(Pack, value, "pack")
        if pack.version != VERSION:
            raise ValueError(f"its version is {pack.version}, this cnnlab reads {VERSION}")
        for part in pack.splits:
            _check_columns(part, pack.spec)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; restore the file, or pack the folder again") from error
    return pack


def read_split(root: str | Path, part: PackedSplit, *, in_memory: bool) -> Examples:
    """Returns the examples of a split; pixels stay on disk unless `in_memory`.

    Raises:
      ValueError: a file is missing or damaged.
    """
    root = Path(root)
    columns = {one.name: _read_column(root, part.name, one, in_memory) for one in part.columns}
    files = read_files(root, part)
    return Examples(columns, files=None if files is None else np.array(files, object))


def read_files(root: str | Path, part: PackedSplit) -> list[str] | None:
    """Returns the names of the files from which the examples of a split were packed; None if they came from no files.

    Raises:
      ValueError: the list of names is missing or damaged.
    """
    if not part.files:
        return None
    path = Path(root) / f"{part.name}-files.json"
    names, (first, *_) = read_json(path, limit=JSON_BYTES), part.columns
    if not (isinstance(names, list) and len(names) == first.shape[0]):
        raise ValueError(f"{path} must name the file of each example; pack the folder again")
    return list(map(str, names))


def pixel_bytes(pack: Pack) -> int:
    """Returns the bytes of all columns of pixels."""
    columns = [column for part in pack.splits for column in part.columns if column.rows is not None]
    return sum(math.prod(column.shape) * np.dtype(column.dtype).itemsize for column in columns)


def of_pixels(name: str) -> bool:
    """Returns whether a column holds pixels, which lie in array_record files.

    >>> of_pixels("mask"), of_pixels("boxes")
    (True, False)
    """
    return name in COLUMNS and COLUMNS[name].axes.startswith("n H W")


def _read_column(root: Path, split: str, column: PackedColumn, in_memory: bool) -> Any:
    n, *sides = column.shape
    if column.rows is not None:
        paths = tuple(shard_paths(root, split, column.name, n, column.rows))
        records = Records(paths, column.rows, column.dtype, tuple(sides), column.digest, np.arange(n))
        return records[np.arange(n)] if in_memory else records
    path = root / f"{split}-{column.name}.npy"
    values = _load(path)
    arrays = [values] if column.fill is None else [values, _load(root / f"{split}-{column.name}-ends.npy")]
    if digest_of(*arrays) != column.digest:
        raise ValueError(f"{path} is not the column that was packed; restore it, or pack the folder again")
    if column.fill is None:
        return values
    return Ragged(values, arrays[1], fill=column.fill, width=column.shape[1])


def _load(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise ValueError(f"cannot read {path} ({error}); restore it, or pack the folder again") from error


def _check_columns(part: PackedSplit, spec: InputSpec) -> None:
    """Raises `ValueError` unless the columns have one length and known dtypes, and the images are those of `spec`."""
    columns = {column.name: column for column in part.columns}
    if part.name not in ("train", "validation", "test") or "image" not in columns:
        raise ValueError(f"the split {part.name!r} has no images")
    if columns["image"].shape[1:] != spec.shape:
        raise ValueError(f"images of {part.name} must be {list(spec.shape)}, found {list(columns['image'].shape[1:])}")
    for name, column in columns.items():
        if np.dtype(column.dtype).kind not in "buif" or not name.isidentifier():
            raise ValueError(f"{name} of {part.name} must hold numbers, found {column.dtype}")
        if (
            column.shape[0] != columns["image"].shape[0]
            or min(column.shape) < 0
            or column.shape[0] > MOST
            or (column.rows is not None and column.rows < 1)
        ):
            raise ValueError(f"{name} of {part.name} has another number of rows than its images, {column.shape}")
        if (column.rows is not None) != of_pixels(name):
            raise ValueError(f"{name} of {part.name} must{' not' * (not of_pixels(name))} lie in {SUFFIX} files")


def shard_paths(root: Path, split: str, name: str, n: int, rows: int) -> Iterator[Path]:
    """Yields the files of a column of n rows."""
    number = -(-n // rows)
    return (root / f"{split}-{name}-{k:05}-of-{number:05}{SUFFIX}" for k in range(number))


def digest_of(*arrays: np.ndarray) -> str:
    """Computes a digest of arrays with their dtypes and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
