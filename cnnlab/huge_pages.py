"""Memory in pages of 2 MB instead of 4 kB: on Linux a train step on a CPU takes up to a third less time.

XLA asks for the memory of intermediate results anew at each call of a program, and the kernel hands it out page by
page. glibc asks for large pages where its tunable says so, which it reads once, when the process starts.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb=1"
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart() -> None:
    """Starts this program again with large pages, in the same process, where the system grants them to who asks.

    Only for programs, before they import anything slow; a variable `GLIBC_TUNABLES` of one's own is left as it is.
    """
    if wanted(_SETTING.read_text() if _SETTING.exists() else "", os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "GLIBC_TUNABLES": TUNABLE})


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
