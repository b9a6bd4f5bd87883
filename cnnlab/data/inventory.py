"""What data there is, how big, and what to do for the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnlab.data.sources import SOURCES
from cnnlab.data.sources.published import STANDARD
from cnnlab.data.sources.standard import prepared_path
from cnnlab.data.sources.tfds_directory import find_data_dir

Entry = dict[str, Any]


def list_data(data_dir: str | Path | None = None) -> list[Entry]:
    """One entry a set: `name`, `state` (`ready`, `not prepared` or `damaged`), `megabytes` on disk, and `next`.

    `next` is the command that uses it, or that makes it usable. Nothing is read but directories.
    """
    root = find_data_dir(data_dir)
    ready = {"state": "ready", "megabytes": 0.0}  # what needs no preparation
    entries = [{"name": name} | ready | {"next": one.command} for name, one in SOURCES.items() if one.command]
    entries += [_standard(name, root) for name in STANDARD]
    return entries + list(_others(root)) + list(_leftovers(root))


def _standard(name: str, root: Path) -> Entry:
    path = prepared_path(name, root)
    if not path.exists():
        size = sum(file.size for file in STANDARD[name].files.values()) / 1e6
        command = f"cnnlab data prepare {name} [--raw-dir DIR] (downloads {size:.0f} MB without)"
        return {"name": name, "state": "not prepared", "megabytes": 0.0, "next": command}
    if not (path / "dataset_info.json").is_file():
        return _damaged(name, path)
    command = f"cnnlab train --data.name {name}"
    return {"name": name, "state": "ready", "megabytes": _megabytes(path), "next": command}


def _others(root: Path) -> Iterator[Entry]:
    """Sets that TFDS prepared besides ours: NAME/VERSION or NAME/CONFIG/VERSION."""
    for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json"):
        for info in sorted(root.glob(pattern)):
            place = info.parent.relative_to(root)
            if place.parts[0] not in ("cnnlab", "downloads") and "incomplete" not in place.name:
                command = f"cnnlab train --data.name tfds --data.set {place}"
                yield {"name": str(place), "state": "ready", "megabytes": _megabytes(info.parent), "next": command}


def _leftovers(root: Path) -> Iterator[Entry]:
    """What an interrupted preparation left behind: TFDS writes there and renames at the end."""
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
