"""Folders and files elsewhere, which an address such as s3://bucket/photos names, as copies in a local cache folder.

CACHE/DIGEST/NAME       the copy; NAME is the last part of the address
CACHE/DIGEST/copy.json  the address, and what was known of every object when it was copied

CACHE is `CNNLAB_CACHE`, or `cnnlab/remote` in the user's cache folder; it may be deleted at any time. Hidden files are
neither copied nor published.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from cnnlab.console import console, progress_bar
from cnnlab.files.atomic import is_held, lock, replacing, write_text
from cnnlab.files.store import Missing, Object, Store, connect, delete, download, objects, upload
from cnnlab.files.text import read_json

WORKERS = 16  # objects that are copied at the same time
_SEVERAL = 1024  # objects after which the record of a copy may be written
_SHOWN_FILES, _SHOWN_BYTES = 100, 50_000_000  # a copy of more shows its progress
_PATIENCE = 10  # tries to hold a copy before this is said
_RECORD, _RECORD_BYTES, _RECORD_SECONDS = "copy.json", 2_000_000_000, 30
_TEXTS = (".csv", ".geojson", ".html", ".json", ".jsonl", ".md", ".txt", ".xml")
_TEXT_BYTES = 1_000_000_000  # a longer text is published as it is
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//?)([^/].*)", re.DOTALL)  # a drive of Windows has one letter

Record = dict[str, Any]
"""What is known of a copy: its `address`, a random `token`, `files` and `cut`.

`files` has size and mark of the object, and size and time of the file, as they were when both were equal, by name.
`cut` has the names of objects that a publication began to write and did not end.
"""


def is_address(place: object) -> bool:
    """Returns whether a place is an address and not a local path; `file://` is a local path.

    `Path("s3://bucket/a")` is `s3:/bucket/a`, which counts as an address too, unless there is such a file.

    >>> is_address("s3://bucket/a"), is_address(Path("s3://bucket/a")), is_address("a/b"), is_address("C:/photos")
    (True, True, False, False)
    """
    return _split(place) is not None


def address(place: object) -> str:
    """Returns the address of a place: of an address, and of a path in a copy; any other path stays as it is.

    Raises:
      ValueError: the address holds a password, or leads out of its folder.

    >>> address(Path("S3://bucket/photos/"))
    's3://bucket/photos'
    """
    if (parts := _split(place)) is None:
        return with_addresses(str(place).removeprefix("file://"))
    scheme, rest = parts[0].lower(), parts[1].rstrip("/")
    host = rest.split("/")[0]
    if re.search(r":.*@", host) or (scheme in ("http", "https") and "@" in host):
        raise ValueError(f"an address of {scheme}:// holds a password; give it by the environment of the store")
    if {".", ".."} & set(rest.partition("?")[0].split("/")):
        raise ValueError(f"{scheme}://{rest.partition('?')[0]} holds . or ..; give the address without them")
    return f"{scheme}://{rest}"


def origin_of(place: str | Path) -> str | None:
    """Returns the address of which a place is the copy, also of an address; None of any other path.

    >>> origin_of("s3://bucket/run"), origin_of("runs/a")
    ('s3://bucket/run', None)
    """
    if is_address(place):
        return address(place)
    path = Path(place).absolute()
    return origin if path.parent.parent == _cache() and is_address(origin := address(path)) else None


def check_lasting(place: object, name: str) -> None:
    """Raises `ValueError` if a value is an address with a query, which may be a key, so that no file may store it."""
    if is_address(place) and "?" in address(place):
        raise ValueError(
            f"{name} {address(place).partition('?')[0]} has a query, which may be a key; leave out the ?..."
        )


def here(place: str | Path) -> Path:
    """Returns the local path that stands for a place, without copying anything; of a local path, the path.

    >>> here("s3://bucket/photos").name, here("photos")
    ('photos', PosixPath('photos'))
    """
    if not is_address(place):
        return Path(str(place).removeprefix("file://"))
    return _folder(address(place)) / _name(address(place))


def local(place: str | Path) -> Path:
    """Copies a place, if it lies elsewhere, into the cache folder, and returns its local path.

    Raises:
      ValueError: there is no such place, or reading it is not permitted.
      OSError: the connection was cut every time, or the disk has no room.

    >>> local("photos")
    PosixPath('photos')
    """
    return fetch(address(place)) if is_address(place) else here(place)


def with_addresses(text: str) -> str:
    """Returns text in which the paths of copies are replaced by the addresses of their origins."""

    def origin(match: re.Match) -> str:
        try:
            return _parent(match[0])
        except LookupError:
            return match[0]

    root = str(_cache())
    return re.sub(f"{re.escape(root)}/[0-9a-f]{{16}}(?=/)", origin, text) if root in text else text


def begin(place: str) -> tuple[Path, str]:
    """Notes that there is a copy of an address, without copying anything.

    Returns:
      The copy's path, and a random text that no other copy of the address has.
    """
    with _alone(folder := _folder(place)):
        return folder / _name(place), _saved(folder, place, _read_record(folder))["token"]


@contextlib.contextmanager
def written(place: str | Path) -> Iterator[Path]:
    """Yields the local path at which to write a file or a folder, and publishes it at the end if it lies elsewhere.

    Args:
      place: an address; a path in a copy, which gives a warning if it cannot be published; or any other path.

    Raises:
      ValueError: writing at the address is not permitted.
      OSError: the store of the address cannot be reached.
    """
    if is_address(place):
        yield fetch(origin := address(place), changes=True)
        publish(origin)
        return
    yield (path := here(place))
    copy = next((each for each in path.absolute().parents if origin_of(each)), None)
    if copy is not None:
        within = path.absolute().relative_to(copy).as_posix()
        try:
            publish(origin_of(copy), lambda name: 0 if f"{name}/".startswith(f"{within}/") else None)
        except (ValueError, OSError) as error:  # of what was asked for, nothing is missing but this
            warnings.warn(f"not published: {error}", stacklevel=4)


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
    with _alone(folder := _folder(place)):
        record, target, store = _read_record(folder), folder / _name(place), connect(place)
        try:
            there = {name: each for name, each in objects(store).items() if not _is_hidden(name)}
        except Missing:
            if not changes:
                raise
            there = {}
        chosen = {name: there[name] for name in choose(there)}
        _clear(target, chosen)
        before, present, cut = record["files"], _scan(target), set(record["cut"])
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
        _saved(folder, place, record)
    return target


def publish(
    place: str, order: Callable[[str], int | None] = lambda name: 0, *, remove: bool = False, quiet: bool = False
) -> list[str]:
    """Writes what has changed in a copy to its origin, and returns the names of the objects.

    Paths of copies in text files become addresses.

    Args:
      place: the address.
      order: function from a name to its turn: what has a larger one is written later; None is left out. Objects are
        deleted in the opposite order.
      remove: whether objects whose file was deleted here are deleted too.
      quiet: whether to draw no progress bar.

    Raises:
      ValueError: writing is not permitted.
      OSError: the connection was cut every time.
    """
    with _alone(folder := _folder(place)):
        record, target, store = _read_record(folder), folder / _name(place), connect(place)
        files, present = record["files"], _scan(target)
        changed = [name for name, state in present.items() if files.get(name, [])[2:] != state]
        changed = sorted((name for name in changed if order(name) is not None), key=lambda name: (order(name), name))
        gone = (files.keys() | set(record["cut"])) - present.keys() if remove else set()
        if changed:
            record["cut"] = sorted({*record["cut"], *changed})
            _saved(folder, place, record)
        for _, turn in itertools.groupby(changed, order):
            names = list(turn)
            out = _shown(len(names), sum(present[name][0] for name in names), quiet=quiet)
            _each(names, lambda name: upload(store, name, _published(target / name)), f"publishing {place}", out)
        for name in sorted(gone, key=lambda name: -(order(name) or 0)):
            delete(store, name)
            files.pop(name, None)
        if changed:
            found = objects(store)
            files |= {name: [*found[name], *present[name]] for name in changed if name in found}
        record["cut"] = sorted(set(record["cut"]) - {*changed, *gone})
        if changed or gone:
            _saved(folder, place, record)
    return changed


def _split(place: object) -> tuple[str, str] | None:
    """Returns scheme and rest of an address; None of a local path."""
    match = _ADDRESS.fullmatch(str(place)) if isinstance(place, str | Path) else None
    if match is None or match[1].lower() in ("file", "local"):
        return None
    if match[2] == "/" and (not _is_scheme(match[1].lower()) or Path(place).exists()):
        return None
    return match[1], match[3]


@functools.cache
def _is_scheme(name: str) -> bool:
    try:
        import fsspec
    except ImportError:
        return False
    return name in fsspec.available_protocols()


@functools.cache
def _parent(folder: str) -> str:
    """Returns the address of a copy without its last part, by the folder of the copy; `LookupError` without one."""
    if not (known := _read_record(Path(folder))["address"]):
        raise LookupError(folder)
    return known.rpartition("/")[0]


def _cache() -> Path:
    root = os.environ.get("CNNLAB_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(root).expanduser().absolute() if root else user.absolute() / "cnnlab" / "remote"


def _folder(place: str) -> Path:
    return _cache() / hashlib.sha256(place.encode()).hexdigest()[:16]


def _name(place: str) -> str:
    return place.partition("?")[0].rpartition("/")[2]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a folder of the cache; while another process holds it, this one waits."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # only for who has the credentials
    with contextlib.ExitStack() as stack:
        for tries in itertools.count():
            try:
                stack.enter_context(lock(folder, f"another process copies into {folder}"))
                break
            except ValueError:
                if not is_held(folder):
                    raise
                if tries == _PATIENCE:
                    console().print(f"waiting for another process, which copies into {folder}", soft_wrap=True)
                time.sleep(0.2)
        yield


def _read_record(folder: Path) -> Record:
    """Reads the record of a copy; a missing or damaged one knows nothing, so that everything is copied again."""
    fresh = {"address": "", "token": secrets.token_hex(8), "files": {}, "cut": []}
    try:
        value = read_json(folder / _RECORD, limit=_RECORD_BYTES)
    except (OSError, ValueError):
        return fresh
    return value if isinstance(value, dict) and value.keys() == fresh.keys() else fresh


def _saved(folder: Path, place: str, record: Record) -> Record:
    """Writes the record of a copy without a signature in the address, and returns it."""
    record["address"] = place.partition("?")[0]
    write_text(folder / _RECORD, json.dumps(record))
    return record


def _scan(target: Path) -> dict[str, list[int]]:
    """Returns size and time of all visible files of a copy by their names."""
    if target.is_file():
        return {"": _state(target)}
    paths = (Path(folder) / name for folder, _, names in os.walk(target) for name in names)
    named = ((path.relative_to(target).as_posix(), path) for path in paths)
    return {name: _state(path) for name, path in named if not _is_hidden(name) and path.is_file()}


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


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
    if total > (free := shutil.disk_usage(target.parent).free):
        raise OSError(
            f"{store.address} needs {total / 1e9:,.1f} GB and the disk of {_cache()} has {free / 1e9:,.1f} GB; make "
            "room, or set CNNLAB_CACHE to a folder on another disk"
        )

    def one(name: str) -> None:
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            download(store, name, part, wanted[name].size)
        record["files"][name] = [*wanted[name], *_state(path)]

    saved = time.monotonic()

    def save_now_and_then() -> None:
        nonlocal saved
        if time.monotonic() - saved > _RECORD_SECONDS:
            _saved(target.parent, store.address, record)
            saved = time.monotonic()

    try:
        _each(sorted(wanted), one, f"copying {store.address}", _shown(len(wanted), total), save_now_and_then)
    finally:
        _saved(target.parent, store.address, record)


def _shown(files: int, size: int, *, quiet: bool = False) -> Console:
    """Returns the console for a progress bar, which prints nothing for few files of few bytes."""
    return console(quiet=quiet or (files < _SHOWN_FILES and size < _SHOWN_BYTES))


def _each(
    names: Sequence[str], call: Callable[[str], Any], label: str, out: Console, pause: Callable[[], None] = lambda: None
) -> None:
    """Calls a function with names, several at once, and draws a progress bar.

    Args:
      names: the names.
      call: function that is called with each name, in threads.
      label: text before the bar.
      out: console that shows the bar.
      pause: function that is called now and then while nothing else is.
    """
    texts = {"label": label, "note": "files"}
    with (
        progress_bar(out, texts=texts, total=len(names), last_line=False) as update,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        for done in range(0, len(names), _SEVERAL):
            for i, _ in enumerate(pool.map(call, names[done : done + _SEVERAL]), done + 1):
                update(completed=i)
            pause()


def _published(path: Path) -> Path | bytes:
    """Returns a file, or the bytes of a text in which paths of copies are replaced by their addresses."""
    if path.suffix not in _TEXTS or path.stat().st_size > _TEXT_BYTES:
        return path
    data = path.read_bytes()
    text = data.decode(errors="surrogateescape")
    changed = with_addresses(text)
    return path if changed == text else changed.encode(errors="surrogateescape")
