"""Memory in pages of 2 MB instead of 4 kB, and kept: on Linux a train step on a CPU takes up to a third less time.

XLA asks for the memory of intermediate results anew at each call of a program, and the kernel hands it out page by
page, zeroed. glibc asks for large pages, and keeps what is freed for the next call, where its tunables say so, which it
reads once, when the process starts. Beside what large pages take off, keeping takes 3 to 6 % off the steps of U-Net,
GoogLeNet and ResNet-18 and 12 % off a sheet in windows; a pass of LeNet5, of many small pieces, takes 5 % longer. The
peak of memory is the same within a sixth, up or down.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES = ":".join(
    f"glibc.malloc.{setting}"
    for setting in (
        "hugetlb=1",
        "mmap_max=0",  # large pieces are of the heap too, not mapped, which ends when they are freed
        "trim_threshold=68719476736",  # nor is the end of the heap given back
        "arena_max=1",  # one heap: those of other threads are too small for large pieces
        "tcache_count=0",  # or crumbs beside aligned pieces are held back, and these fit where they lay no more
    )
)
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart() -> None:
    """Starts this program again with large pages, in the same process, where the system grants them to who asks.

    Only for programs, before they import anything slow; a variable `GLIBC_TUNABLES` of one's own is left as it is.
    """
    if wanted(_SETTING.read_text() if _SETTING.exists() else "", os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "GLIBC_TUNABLES": TUNABLES})


def wanted(setting: str, environment: Mapping[str, str]) -> bool:
    """Whether a restart changes anything.

    Args:
      setting: the kernel's, such as `always [madvise] never`; the chosen word stands in brackets.
      environment: variables by name.

    >>> wanted("always [madvise] never", {}), wanted("[always] madvise never", {}), wanted("", {})
    (True, False, False)
    >>> wanted("always [madvise] never", {"GLIBC_TUNABLES": "glibc.malloc.check=3"})
    False
    """
    return "[madvise]" in setting and "GLIBC_TUNABLES" not in environment
