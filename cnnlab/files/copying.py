"""Copies what lies elsewhere into the cache: only objects that have changed, several at once."""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cnnlab.files.addresses import is_address, last_part
from cnnlab.files.atomic import replacing
from cnnlab.files.cache import (
    Record,
    address,
    files_in,
    folder_of,
    held,
    here,
    is_hidden,
    read_record,
    root,
    save_record,
    state,
)
from cnnlab.files.cache_limit import make_room
from cnnlab.files.several import call_each, shown
from cnnlab.files.store import Missing, Object, Store, connect, download, look, objects

_RECORD_SECONDS = 30  # after which the record of a copy is written


def local(place: str | Path) -> Path:
    """Copies a place, if it lies elsewhere, into the cache folder, and returns its local path.

    Raises:
      ValueError: there is no such place, or reading it is not permitted.
      OSError: the connection was cut every time, or the disk has no room.

    >>> local("photos")
    PosixPath('photos')
    """
    return fetch(address(place)) if is_address(place) else here(place)


def fetch(
    place: str, choose: Callable[[Iterable[str]], Iterable[str]] = iter, *, changes: bool = False, shared: bool = False
) -> Path:
    """Makes the copy of an address equal to its origin, and returns the copy's path.

    Only objects of which size, tag or time have changed are read.

    Args:
      place: the address.
      choose: function from the names of all objects to those that are copied.
      changes: whether the copy is to be changed: files that were changed here and not published yet stay if no other
        machine has changed the origin, and the origin may be missing.
      shared: whether files that were never published stay in any case, because another process of this machine may be
        writing them.

    Raises:
      ValueError: there is no such place, or reading it is not permitted.
      OSError: the connection was cut every time, or the disk has no room.
    """
    with held(folder := folder_of(place)):
        record, target, store = read_record(folder), folder / last_part(place), connect(place)
        try:
            there = visible(store)
        except Missing:
            if not changes:
                raise
            there = {}
        chosen = {name: there[name] for name in choose(there)}
        _clear(target, chosen)
        before, present, cut = record["files"], files_in(target), set(record["cut"])
        same = {name for name, each in chosen.items() if each.mark and before.get(name, [])[:2] == list(each)}
        stays = changes and before.keys() - cut == chosen.keys() - cut <= same
        if stays:
            kept = present.keys() & (same | cut)
        else:
            kept = {name for name in same if present.get(name) == before[name][2:]}
            gone = present.keys() - chosen.keys()
            for name in gone & before.keys() if shared else gone:
                _unlink(target, name)
        record["files"] = {name: before[name] for name in kept if name in before}
        if changes:  # the next publication deletes what is not chosen
            record["cut"] = sorted(cut | there.keys() - chosen.keys() if stays else there.keys() - chosen.keys())
        _copy(store, {name: each for name, each in chosen.items() if name not in kept}, target, record)
        save_record(folder, place, record)
    return target


def fetch_some(place: str, wanted: Mapping[str, Object | None]) -> Path:
    """Copies some objects of a folder elsewhere, without listing the folder, and returns the path of its copy.

    The other files of the copy stay as they are, so that several processes may each copy a part.

    Args:
      place: the address of the folder.
      wanted: what a listing said of the objects, by their names in the folder; each None is asked for.

    Raises:
      ValueError: there is no such object, or reading it is not permitted.
      OSError: the connection was cut every time, or the disk has no room.
    """
    with held(folder := folder_of(place)):
        record, target, store = read_record(folder), folder / last_part(place), connect(place)
        unknown = [name for name, each in wanted.items() if each is None]
        looked = call_each(unknown, lambda name: look(store, name), f"looking at {place}", shown(len(unknown), 0))
        found = {**wanted, **dict(zip(unknown, looked, strict=True))}
        _clear(target, found)
        files = record["files"]

        def is_here(name: str, each: Object) -> bool:
            path, entry = target / name, files.get(name, [])
            return bool(each.mark) and entry[:2] == list(each) and path.is_file() and state(path) == entry[2:]

        _copy(store, {name: each for name, each in found.items() if not is_here(name, each)}, target, record)
    return target


def visible(store: Store) -> dict[str, Object]:
    """Lists the objects of a store that are copied: those that are not hidden."""
    return {name: each for name, each in objects(store).items() if not is_hidden(name)}


def _clear(target: Path, found: dict[str, Object]) -> None:
    """Removes a copy that is a file where its origin is a folder, or the other way round."""
    if "" in found and target.is_dir():
        shutil.rmtree(target)
    elif found and "" not in found and target.is_file():
        target.unlink()


def _unlink(target: Path, name: str) -> None:
    """Deletes a file of a copy, and the folders that are empty then."""
    path = target / name
    path.unlink(missing_ok=True)
    for folder in itertools.takewhile(lambda folder: folder != target, path.parents):
        with contextlib.suppress(OSError):  # it holds other files
            folder.rmdir()


def _copy(store: Store, wanted: dict[str, Object], target: Path, record: Record) -> None:
    """Reads objects into a copy, several at once, and enters them in its record."""
    total = sum(max(each.size, 0) for each in wanted.values())
    make_room(total)
    if total > (free := shutil.disk_usage(target.parent).free):
        raise OSError(
            f"{store.address} needs {total / 1e9:,.1f} GB and the disk of {root()} has {free / 1e9:,.1f} GB; make "
            "room, or set CNNLAB_CACHE to a folder on another disk"
        )

    def one(name: str) -> None:
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            download(store, name, part, wanted[name].size)
        record["files"][name] = [*wanted[name], *state(path)]

    saved = time.monotonic()

    def save_now_and_then() -> None:
        nonlocal saved
        if time.monotonic() - saved > _RECORD_SECONDS:
            save_record(target.parent, store.address, record)
            saved = time.monotonic()

    try:
        call_each(sorted(wanted), one, f"copying {store.address}", shown(len(wanted), total), save_now_and_then)
    finally:
        save_record(target.parent, store.address, record)
