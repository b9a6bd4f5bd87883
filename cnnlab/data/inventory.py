"""The inventory of datasets: their state, their size on disk, and the command that uses or prepares each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnlab.data.sources import SOURCES
from cnnlab.data.sources.published import STANDARD
from cnnlab.data.sources.standard import prepared_path
from cnnlab.data.sources.tfds_directory import find_data_dir

Entry = dict[str, Any]


def list_data(data_dir: str | Path | None = None) -> list[Entry]:
    """Lists the datasets, one entry each: `name`, `state`, `megabytes` on disk, and `next`.

    `state` is `ready`, `not prepared` or `damaged`. `next` is the command that uses the dataset, or that makes it
    usable. Only directories are read, not the data.
    """
    root = find_data_dir(data_dir)
    ready = {"state": "ready", "megabytes": 0.0}  # for sources that need no preparation
    entries = [{"name": name} | ready | {"next": source.command} for name, source in SOURCES.items() if source.command]
    entries += [_standard(name, root) for name in STANDARD]
    return entries + list(_others(root)) + list(_leftovers(root))


def _standard(name: str, root: Path) -> Entry:
    """Returns the entry of a standard dataset."""
    path = prepared_path(name, root)
    if not path.exists():
        size = sum(file.size for file in STANDARD[name].files.values()) / 1e6
        command = f"cnnlab data prepare {name} [--raw-dir DIR] (without --raw-dir it downloads {size:.0f} MB)"
        return {"name": name, "state": "not prepared", "megabytes": 0.0, "next": command}
    if not (path / "dataset_info.json").is_file():
        return _damaged(name, path)
    command = f"cnnlab train --data.name {name}"
    return {"name": name, "state": "ready", "megabytes": _megabytes(path), "next": command}


def _others(root: Path) -> Iterator[Entry]:
    """Yields the entries of sets that TFDS itself prepared, in NAME/VERSION or NAME/CONFIG/VERSION."""
    for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json"):
        for info in sorted(root.glob(pattern)):
            place = info.parent.relative_to(root)
            if place.parts[0] not in ("cnnlab", "downloads") and "incomplete" not in place.name:
                command = f"cnnlab train --data.name tfds --data.set {place}"
                yield {"name": str(place), "state": "ready", "megabytes": _megabytes(info.parent), "next": command}


def _leftovers(root: Path) -> Iterator[Entry]:
    """Yields the directories of interrupted preparations.

    TFDS writes to a directory with `incomplete` in its name and renames it at the end.
    """
    for pattern in ("*/*incomplete*", "*/*/*incomplete*"):
        for path in sorted(root.glob(pattern)):
            if path.is_dir() and path.relative_to(root).parts[0] != "downloads":
                entry = _damaged(str(path.relative_to(root)), path)
                yield entry | {"next": f"a preparation is running or was interrupted; if none is, remove {path}"}


def _damaged(name: str, path: Path) -> Entry:
    command = f"move {path} away, then prepare the set again"
    return {"name": name, "state": "damaged", "megabytes": _megabytes(path), "next": command}


def _megabytes(path: Path) -> float:
    return round(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6, 1)
