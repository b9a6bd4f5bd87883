"""Files that are written whole or not at all, and folders that one process holds."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a new file, which takes the place of `path` when the block ends; where it fails, none does.

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
    """Writes a text file whole or not at all."""
    with replacing(path) as part:
        part.write_text(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file of bytes whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def lock(folder: Path, message: str) -> Iterator[None]:
    """Holds a folder that exists; the operating system drops the lock with the process, however it ends.

    Args:
      folder: where the file `.lock` is made, which stays.
      message: the error's text.

    Raises:
      ValueError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no lock, two processes in one directory go unnoticed
        yield
        return
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(message) from error
        except OSError as error:
            unlocked = f"{folder} lies on a file system without locks ({error}); let no other process write there"
            warnings.warn(unlocked, stacklevel=3)
        yield
