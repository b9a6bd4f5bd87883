"""Files that are written whole or not at all, and folders that one process holds.

Nothing is written through a link that lies where a file is to be written: the link is replaced, its target stays.
"""

import contextlib
import errno
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"
NAME_BYTES = 255  # of a file name, on all usual file systems
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a new, empty file, which takes the place of `path` when the block ends without an error.

    Raises:
      ValueError: a pipe, a socket or a device such as `/dev/null` is at that path, which a file would replace.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    if any(kind(path) for kind in (Path.is_fifo, Path.is_socket, Path.is_char_device, Path.is_block_device)):
        raise ValueError(f"{path} is a pipe, a socket or a device, which a file would replace; give another path")
    part = path.with_name(_part_name(path.name))
    part.unlink(missing_ok=True)  # a rest of an earlier try, or a link
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666))
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            raise OSError(error.errno, "the disk is full; make room and repeat the command", str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file of bytes, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def lock(folder: Path, message: str) -> Iterator[None]:
    """Holds a folder that exists; the operating system drops the lock when the process ends, however it ends.

    Args:
      folder: the folder; an empty file `.lock` stays in it.
      message: the text of the error for a folder that another process holds.

    Raises:
      ValueError: another process holds the folder, or its file `.lock` is a link.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks, so two processes may write into one folder
        yield
        return
    with _opened(folder / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(message) from error
        except OSError as error:
            warning = f"{folder} is on a file system without locks ({error}); let no other process write there"
            warnings.warn(warning, stacklevel=3)
        yield


def is_held(folder: Path) -> bool:
    """Returns whether a process holds a folder by `lock`; nothing is written into it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = is_held(Path(folder))
    ...     with lock(Path(folder), "held"):
    ...         before, is_held(Path(folder))
    (False, True)
    """
    try:
        import fcntl

        file = os.open(folder / LOCK, os.O_RDONLY | _NO_LINK)
    except (ImportError, OSError):  # Windows has no such locks; a folder that was never held has no file
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def _part_name(name: str) -> str:
    part = f".{name}.part"
    return part if len(os.fsencode(part)) <= NAME_BYTES else f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.part"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path} is a link, through which nothing is written; remove it") from error
        raise
    try:
        yield file
    finally:
        os.close(file)
