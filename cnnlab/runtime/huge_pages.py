"""Large memory pages (2 MB instead of 4 kB) for programs on Linux, which make training steps on a CPU faster.

At each call of a program XLA allocates the memory of intermediate results again, and the kernel provides it page by
page, filled with zeros. With the tunables below, glibc requests large pages and reuses freed memory at the next call.
glibc reads its tunables only when a process starts.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES = ":".join(
    f"glibc.malloc.{setting}"
    for setting in (
        "hugetlb=1",
        "mmap_max=0",  # allocates large blocks on the heap, because mapped blocks return to the kernel when freed
        "trim_threshold=68719476736",  # does not return the end of the heap to the kernel
        "arena_max=1",  # uses one heap, because the heaps of other threads are too small for large blocks
        "tcache_count=0",  # thread caches keep small leftovers, so freed memory cannot be merged for a large block
    )
)
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart() -> None:
    """Restarts this program in the same process with large pages, if the kernel provides them on request.

    Call it only from programs, before slow imports. It does nothing if the variable `GLIBC_TUNABLES` is set.
    """
    if restart_helps(_SETTING.read_text() if _SETTING.exists() else "", os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "GLIBC_TUNABLES": TUNABLES})


def restart_helps(setting: str, environment: Mapping[str, str]) -> bool:
    """Returns whether a restart switches large pages on.

    Args:
      setting: setting of the kernel, such as `always [madvise] never`, with the active word in brackets.
      environment: environment variables by name.

    >>> restart_helps("always [madvise] never", {}), restart_helps("[always] madvise never", {}), restart_helps("", {})
    (True, False, False)
    >>> restart_helps("always [madvise] never", {"GLIBC_TUNABLES": "glibc.malloc.check=3"})
    False
    """
    return "[madvise]" in setting and "GLIBC_TUNABLES" not in environment
