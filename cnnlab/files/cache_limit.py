"""The limit of the cache of copies: those that nobody has used for the longest time make room for new ones."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cnnlab.files.addresses import last_part
from cnnlab.files.atomic import LOCK, lock
from cnnlab.files.cache import RECORD, files_in, is_hidden, read_record, root, unused

VARIABLE = "CNNLAB_CACHE_GB"


def make_room(needed: int) -> None:
    """Deletes copies until the cache has room for so many bytes, or until all others are in use.

    The limit is `CNNLAB_CACHE_GB`, in gigabytes; without it nothing is deleted. A copy stays that a running process
    uses, or that holds what is not published.

    Raises:
      ValueError: the limit is no number of gigabytes.
    """
    if (limit := _limit()) is None or not needed:
        return
    folders = {path.parent: path.stat().st_mtime_ns for path in root().glob(f"*/{RECORD}")}
    sizes = {folder: sum(path.stat().st_size for path in _files(folder)) for folder in folders}
    excess = sum(sizes.values()) + needed - limit
    for folder in sorted(folders, key=folders.get):
        if excess > 0 and _emptied(folder):
            excess -= sizes[folder]


def _limit() -> float | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ValueError(f"{VARIABLE} must be a number of gigabytes, such as 50, found {text!r}")
    return limit * 1e9


def _emptied(folder: Path) -> bool:
    """Deletes the copy in a folder unless it must stay, and returns whether it did; the files of its locks stay."""
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(unused(folder)):
            return False
        try:
            stack.enter_context(lock(folder, "used"))
        except ValueError:
            return False
        record = read_record(folder)
        target = folder / last_part(record["address"])
        if not record["address"] or not _is_published(target, record["files"]):
            return False
        target.unlink() if target.is_file() else shutil.rmtree(target, ignore_errors=True)
        (folder / RECORD).unlink()
    return True


def _is_published(target: Path, files: dict[str, list]) -> bool:
    """Returns whether a copy holds nothing but what its origin has; the files of locks do not count."""
    if any(files.get(name, [])[2:] != state for name, state in files_in(target).items()):
        return False
    names = (path.relative_to(target).as_posix() for path in _files(target) if path.name != LOCK)
    return not any(map(is_hidden, names))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
