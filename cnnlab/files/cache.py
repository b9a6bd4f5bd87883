"""The cache of copies of what lies elsewhere: where the copy of an address is, and of which address a path is the copy.

CACHE/DIGEST/NAME       the copy; NAME is the last part of the address
CACHE/DIGEST/copy.json  the address, and what was known of every object when it was copied

CACHE is `CNNLAB_CACHE`, or `cnnlab/remote` in the user's cache folder; it may be deleted at any time. Hidden files are
neither copied nor published. Of a copy whose processes all have ended, `cache_limit` may delete everything.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnnlab.console import console
from cnnlab.files import addresses
from cnnlab.files.addresses import is_address, last_part, without_query
from cnnlab.files.atomic import is_held, lock, write_text
from cnnlab.files.text import read_json

RECORD = "copy.json"
_RECORD_BYTES = 2_000_000_000
_USED = ".used"  # a file that every process that uses a copy holds by a shared lock
_using: dict[Path, int] = {}
_PATIENCE = 10  # tries to hold a copy before this is said

Record = dict[str, Any]
"""What is known of a copy: its `address`, a random `token`, `files` and `cut`.

`files` has size and mark of the object, and size and time of the file, as they were when both were equal, by name.
`cut` has the names of objects that a publication began to write and did not end.
"""


def root() -> Path:
    """Returns the folder of all copies."""
    return _root(os.environ.get("CNNLAB_CACHE"), os.environ.get("XDG_CACHE_HOME")).absolute()


def folder_of(address: str) -> Path:
    """Returns the folder CACHE/DIGEST of an address."""
    return root() / hashlib.sha256(address.encode()).hexdigest()[:16]


def here(place: str | Path) -> Path:
    """Returns the local path that stands for a place, without copying anything; of a local path, the path.

    >>> here("s3://bucket/photos").name, here("photos")
    ('photos', PosixPath('photos'))
    """
    place = addresses.normal(place)
    return folder_of(place) / last_part(place) if is_address(place) else Path(place)


def address(place: object) -> str:
    """Returns the address of a place: of an address, and of a path in a copy; any other path stays as it is.

    Raises:
      ValueError: the address holds a password, or leads out of its folder.

    >>> address(Path("S3://bucket/photos/")), address("photos")
    ('s3://bucket/photos', 'photos')
    """
    return addresses.normal(place) if is_address(place) else with_addresses(addresses.normal(place))


def origin_of(place: str | Path) -> str | None:
    """Returns the address of which a place is the copy, also of an address; None of any other path.

    >>> origin_of("s3://bucket/run"), origin_of("runs/a")
    ('s3://bucket/run', None)
    """
    if is_address(place):
        return address(place)
    path = Path(place).absolute()
    return origin if path.parent.parent == root() and is_address(origin := address(path)) else None


def copy_of(path: Path) -> Path | None:
    """Returns the copy in which a path lies; None of a path that lies in none."""
    return next((each for each in path.absolute().parents if origin_of(each)), None)


def with_addresses(text: str, escape: Callable[[str], str] = str) -> str:
    """Returns text in which the paths of copies are replaced by the addresses of their origins.

    Args:
      text: the text.
      escape: function that escaped each letter of what the text holds, and escapes those of the addresses.
    """
    start = escape(str(root()))

    def origin(match: re.Match) -> str:
        try:
            return escape(_parent(f"{root()}/{match[1]}"))
        except LookupError:
            return match[0]

    return re.sub(f"{re.escape(start)}/([0-9a-f]{{16}})(?=/)", origin, text) if start in text else text


def named(value: Any) -> Any:
    """Returns a value of JSON types with addresses in place of the paths of copies, whatever letters these have.

    >>> named({"file": "a.png", "boxes": [1, 2]})
    {'file': 'a.png', 'boxes': [1, 2]}
    """
    if isinstance(value, str):
        return with_addresses(value)
    if isinstance(value, dict):
        return {key: named(each) for key, each in value.items()}
    return [named(each) for each in value] if isinstance(value, list | tuple) else value


def begin(place: str) -> tuple[Path, str]:
    """Notes that there is a copy of an address, without copying anything.

    Returns:
      The copy's path, and a random text that no other copy of the address has.
    """
    with held(folder := folder_of(place)):
        return folder / last_part(place), save_record(folder, place, read_record(folder))["token"]


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a folder of the cache; while another process holds it, this one waits.

    From then on, until this process ends, no other one deletes the copy to make room.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # only for who has the credentials
    with contextlib.ExitStack() as stack:
        _use(folder)
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


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Yields whether no process uses a folder of the cache; while the block runs, none begins to."""
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            file = os.open(folder / _USED, os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ImportError, OSError):  # it is used, or nobody can tell
            yield False
            return
        yield True


def _use(folder: Path) -> None:
    """Marks a folder of the cache as used by this process until it ends."""
    if folder in _using:
        return
    try:
        import fcntl

        _using[folder] = os.open(folder / _USED, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(_using[folder], fcntl.LOCK_SH)
    except (ImportError, OSError):  # Windows and some file systems have no such locks; then nothing is deleted
        _using.setdefault(folder, -1)


def read_record(folder: Path) -> Record:
    """Reads the record of a copy; a missing or damaged one knows nothing, so that everything is copied again."""
    fresh = {"address": "", "token": secrets.token_hex(8), "files": {}, "cut": []}
    try:
        value = read_json(folder / RECORD, limit=_RECORD_BYTES)
    except (OSError, ValueError):
        return fresh
    return value if isinstance(value, dict) and value.keys() == fresh.keys() else fresh


def save_record(folder: Path, place: str, record: Record) -> Record:
    """Writes the record of a copy without a signature in the address, and returns it."""
    record["address"] = without_query(place)
    write_text(folder / RECORD, json.dumps(record))
    return record


def files_in(target: Path) -> dict[str, list[int]]:
    """Returns size and time of all visible files of a copy by their names; a copy that is a file has the empty name."""
    if target.is_file():
        return {"": state(target)}
    paths = (Path(folder) / name for folder, _, names in os.walk(target) for name in names)
    pairs = ((path.relative_to(target).as_posix(), path) for path in paths)
    return {name: state(path) for name, path in pairs if not is_hidden(name) and path.is_file()}


def state(path: Path) -> list[int]:
    """Returns size and time of a file, by which a change is noticed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def is_hidden(name: str) -> bool:
    """Returns whether a file or a folder above it is hidden.

    >>> is_hidden("a/.lock/1"), is_hidden("a/b")
    (True, False)
    """
    return any(part.startswith(".") for part in name.split("/"))


@functools.lru_cache(maxsize=8)
def _root(own: str | None, user: str | None) -> Path:
    return Path(own).expanduser() if own else Path(user or Path.home() / ".cache", "cnnlab", "remote")


@functools.cache
def _parent(folder: str) -> str:
    """Returns the address of a copy without its last part, by the folder of the copy; `LookupError` without one."""
    if not (known := read_record(Path(folder))["address"]):
        raise LookupError(folder)
    return known.rpartition("/")[0]
