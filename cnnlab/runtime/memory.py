"""Memory that a compilation leaves behind: Python and the C library keep it until they are told to give it back."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

LEAST = 64_000_000  # bytes by which a process grows before its memory is worth a search
_STATUS = Path("/proc/self/status")  # of Linux


@contextlib.contextmanager
def freed() -> Iterator[None]:
    """Gives memory that the block no longer needs back to the system, if the process grew by more than 64 MB.

    A compiler needs several times the memory of the program that it makes. What it frees stays with the process, so
    that the first call of the program would come on top of it. Only Linux with glibc has such a request; on other
    systems only Python's own garbage is collected.
    """
    before = resident()
    yield
    if before is not None and resident() - before > LEAST:
        gc.collect()  # traces of a program refer to each other in cycles
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def resident() -> int | None:
    """Returns the bytes of memory that the process holds; None where the system does not tell.

    >>> held = resident()
    >>> held is None or held > 1_000_000
    True
    """
    if not _STATUS.exists():
        return None
    return 1024 * int(_STATUS.read_text().split("VmRSS:")[1].split()[0])
