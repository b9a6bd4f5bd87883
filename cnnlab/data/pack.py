"""Packs: the examples of a dataset in files that are read much faster than photos are decoded.

A pack is a folder. `pack.json` describes it. The columns of pixels, such as `image` and `mask`, are resized and lie in
array_record files; all other columns lie in files of NumPy.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.columns import COLUMNS
from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.ragged import Ragged
from cnnlab.data.records import SUFFIX, Records, row_bytes, rows_of_a_file, write_rows
from cnnlab.data.spec import InputSpec
from cnnlab.files.atomic import LOCK, lock, replacing, write_text
from cnnlab.files.strict_json import decode, encode
from cnnlab.files.text import read_json

PACK = "pack.json"
UNFINISHED = "unfinished.json"
_VERSION = 1
_BYTES = 500_000_000  # of a JSON file; the names of a million files take some 80 MB


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


def write_pack(
    dataset: Dataset, output: str | Path, *, column: str, tick: Callable[[int], None] = lambda rows: None
) -> Path:
    """Writes all examples of a dataset to a pack, which `cnnlab.data.pack` reads; returns its folder.

    A call that was interrupted is continued by the same call: files that are whole stay. `pack.json` is written last.

    Args:
      dataset: the dataset; every split is `Examples`.
      output: folder of the pack, which is empty or missing, or holds what an interrupted call wrote.
      column: the column of annotations that decides the task, such as `label`.
      tick: function that is called with the number of examples whose images were written since the last call.

    Raises:
      ValueError: the folder holds something else, the disk has too little room, or the dataset draws its examples anew
        in each epoch.
      OSError: a file cannot be written.
    """
    output = Path(output)
    for split, examples in dataset.splits.items():
        if type(examples) is not Examples:
            raise ValueError(f"{dataset.name}/{split} draws new examples in each epoch; leave --data.window out")
    begun = {"version": _VERSION, "fingerprint": dataset.fingerprint(), "spec": encode(dataset.spec)}
    check_output(output)
    if (output / UNFINISHED).exists() and read_json(output / UNFINISHED, limit=_BYTES) != begun:
        raise ValueError(f"{output} is an unfinished pack of other data; remove it or give another --output")
    output.mkdir(parents=True, exist_ok=True)
    with lock(output, f"another process writes to {output}; wait for it or give another --output"):
        _check_room(dataset, output)
        write_text(output / UNFINISHED, json.dumps(begun))
        splits = tuple(_write_split(output, split, examples, tick) for split, examples in dataset.splits.items())
        sizes = None if dataset.photo_sizes is None else tuple(map(tuple, np.asarray(dataset.photo_sizes).tolist()))
        pack = Pack(_VERSION, dataset.name, column, dataset.spec, tuple(dataset.remarks), sizes, splits)
        write_text(output / PACK, json.dumps(encode(pack), indent=1) + "\n")
        (output / UNFINISHED).unlink()
    return output


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
    value = read_json(path, limit=_BYTES)
    try:
        pack = decode(Pack, value, "pack")
        if pack.version != _VERSION:
            raise ValueError(f"its version is {pack.version}, this cnnlab reads {_VERSION}")
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
    files = None
    if part.files:
        names = read_json(root / f"{part.name}-files.json", limit=_BYTES)
        if not (isinstance(names, list) and len(names) == len(columns["image"])):
            raise ValueError(f"{root / part.name}-files.json must name the file of each example; pack the folder again")
        files = np.array([str(name) for name in names], object)
    return Examples(columns, files=files)


def pixel_bytes(pack: Pack) -> int:
    """Returns the bytes of all columns of pixels."""
    columns = [column for part in pack.splits for column in part.columns if column.rows is not None]
    return sum(int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize for column in columns)


def of_pixels(name: str) -> bool:
    """Returns whether a column holds pixels, which lie in array_record files.

    >>> of_pixels("mask"), of_pixels("boxes")
    (True, False)
    """
    return name in COLUMNS and COLUMNS[name].axes.startswith("n H W")


def check_output(output: Path) -> None:
    """Raises `ValueError` unless a folder is empty or missing, or an unfinished pack."""
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"{output} is a file; give a folder with --output")
    if (output / PACK).exists():
        raise ValueError(f"{output} is a pack already; train with --data.path {output}, or give another --output")
    if not (output / UNFINISHED).exists() and any(path.name != LOCK for path in output.iterdir()):
        raise ValueError(f"{output} is not empty and holds no pack; give another --output")


def _check_room(dataset: Dataset, output: Path) -> None:
    """Raises `ValueError` if the disk has no room for the images."""
    needed = sum(len(examples) * row_bytes(examples.column("image")) for examples in dataset.splits.values())
    free = shutil.disk_usage(output).free + sum(path.stat().st_size for path in output.glob(f"*{SUFFIX}"))
    if needed > free:
        raise ValueError(
            f"the images of {dataset.name} take {needed / 1e9:,.1f} GB, but {output} has room for {free / 1e9:,.1f}; "
            "choose a smaller --data.size or another --output"
        )


def _write_split(output: Path, split: str, examples: Examples, tick: Callable[[int], None]) -> PackedSplit:
    columns = []
    for name, column in examples.columns.items():
        if of_pixels(name):
            columns.append(_write_pixels(output, split, name, column, tick if name == "image" else lambda rows: None))
        else:
            columns.append(_write_array(output, split, name, column))
    if examples.files is not None:
        write_text(output / f"{split}-files.json", json.dumps([str(file) for file in examples.files]))
    return PackedSplit(split, tuple(columns), examples.files is not None)


def _write_pixels(output: Path, split: str, name: str, column: Any, tick: Callable[[int], None]) -> PackedColumn:
    """Writes a column to array_record files; those that an interrupted call has written are only read."""
    digest, rows, shape = hashlib.sha256(), rows_of_a_file(column), tuple(map(int, column.shape))

    def update(portion: np.ndarray) -> None:
        digest.update(portion.data)
        tick(len(portion))

    for path, chosen in zip(_paths(output, split, name, len(column), rows), _portions(len(column), rows), strict=True):
        if path.exists():
            written = Records((path,), rows, str(column.dtype), shape[1:], "", np.arange(len(chosen)))
            for portion in _portions(len(chosen), 100):
                update(written[portion])
        else:
            write_rows(path, column, chosen, update=update, compressed=name != "image")
    return PackedColumn(name, str(column.dtype), shape, digest.hexdigest(), rows=rows)


def _write_array(output: Path, split: str, name: str, column: np.ndarray | Ragged) -> PackedColumn:
    """Writes a column to a file of NumPy, and the ends of the rows of a ragged one to a second file."""
    shape, fill = tuple(map(int, column.shape)), None
    arrays = {name: column}
    if isinstance(column, Ragged):
        arrays, fill = {name: column.values, f"{name}-ends": column.ends}, np.asarray(column.fill).item()
    for file, array in arrays.items():
        with replacing(output / f"{split}-{file}.npy") as part, open(part, "wb") as stream:
            np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return PackedColumn(name, str(column.dtype), shape, _digest(*arrays.values()), fill=fill)


def _read_column(root: Path, split: str, column: PackedColumn, in_memory: bool) -> Any:
    n, *sides = column.shape
    if column.rows is not None:
        paths = tuple(_paths(root, split, column.name, n, column.rows))
        records = Records(paths, column.rows, column.dtype, tuple(sides), column.digest, np.arange(n))
        return records[np.arange(n)] if in_memory else records
    path = root / f"{split}-{column.name}.npy"
    values = _load(path)
    arrays = [values] if column.fill is None else [values, _load(root / f"{split}-{column.name}-ends.npy")]
    if _digest(*arrays) != column.digest:
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
            or (column.rows is not None and column.rows < 1)
        ):
            raise ValueError(f"{name} of {part.name} has another number of rows than its images, {column.shape}")
        if (column.rows is not None) != of_pixels(name):
            raise ValueError(f"{name} of {part.name} must{' not' * (not of_pixels(name))} lie in {SUFFIX} files")


def _paths(root: Path, split: str, name: str, n: int, rows: int) -> Iterator[Path]:
    number = -(-n // rows)
    return (root / f"{split}-{name}-{k:05}-of-{number:05}{SUFFIX}" for k in range(number))


def _portions(n: int, rows: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + rows, n)) for start in range(0, n, rows)]


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
