"""Writing of packs: a command that was interrupted is continued, and a finished pack is never written over."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.pack import (
    JSON_BYTES,
    PACK,
    UNFINISHED,
    VERSION,
    Pack,
    PackedColumn,
    PackedSplit,
    digest_of,
    of_pixels,
    shard_paths,
)
from cnnlab.data.ragged import Ragged
from cnnlab.data.records import SUFFIX, Records, row_bytes, rows_of_a_file, write_rows
from cnnlab.files.atomic import LOCK, lock, replacing, write_text
from cnnlab.files.cache import with_addresses
from cnnlab.files.strict_json import encode
from cnnlab.files.text import read_json


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
    begun = {"version": VERSION, "fingerprint": dataset.fingerprint(), "spec": encode(dataset.spec)}
    check_output(output)
    if (output / UNFINISHED).exists() and read_json(output / UNFINISHED, limit=JSON_BYTES) != begun:
        raise ValueError(f"{output} is an unfinished pack of other data; remove it or give another --output")
    output.mkdir(parents=True, exist_ok=True)
    with lock(output, f"another process writes to {output}; wait for it or give another --output"):
        _check_room(dataset, output)
        write_text(output / UNFINISHED, json.dumps(begun))
        splits = tuple(_write_split(output, split, examples, tick) for split, examples in dataset.splits.items())
        sizes = None if dataset.photo_sizes is None else tuple(map(tuple, np.asarray(dataset.photo_sizes).tolist()))
        pack = Pack(VERSION, dataset.name, column, dataset.spec, tuple(dataset.remarks), sizes, splits)
        write_text(output / PACK, json.dumps(encode(pack), indent=1) + "\n")
        (output / UNFINISHED).unlink()
    return output


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
        write_text(output / f"{split}-files.json", json.dumps([with_addresses(str(file)) for file in examples.files]))
    return PackedSplit(split, tuple(columns), examples.files is not None)


def _write_pixels(output: Path, split: str, name: str, column: Any, tick: Callable[[int], None]) -> PackedColumn:
    """Writes a column to array_record files; those that an interrupted call has written are only read."""
    digest, rows, shape = hashlib.sha256(), rows_of_a_file(column), tuple(map(int, column.shape))

    def update(portion: np.ndarray) -> None:
        digest.update(portion.data)
        tick(len(portion))

    for path, chosen in zip(
        shard_paths(output, split, name, len(column), rows), _portions(len(column), rows), strict=True
    ):
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
    return PackedColumn(name, str(column.dtype), shape, digest_of(*arrays.values()), fill=fill)


def _portions(n: int, rows: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + rows, n)) for start in range(0, n, rows)]
