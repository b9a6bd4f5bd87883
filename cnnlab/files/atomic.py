"""Atomic writes of files and locks of folders."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file that replaces `path` when the block ends; if the block fails, it is deleted.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.txt']
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: readers see the old file or the complete new one."""
    with replacing(path) as part:
        part.write_text(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes to a file atomically: readers see the old file or the complete new one."""
    with replacing(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def lock(folder: Path, message: str) -> Iterator[None]:
    """Locks an existing folder; the operating system releases the lock when the process ends, even after a crash.

    Args:
      folder: folder in which the file `.lock` is created; the file stays there.
      message: message of the error.

    Raises:
      ValueError: another process has locked the folder.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock, so a second process goes unnoticed
        yield
        return
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(message) from error
        except OSError as error:
            warning = f"{folder} is on a file system without locks ({error}); let no other process write there"
            warnings.warn(warning, stacklevel=3)
        yield
