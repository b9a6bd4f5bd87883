"""Memory in pages of 2 MB instead of 4 kB: under Linux, train steps on a CPU of a few cores take less time.

XLA asks for the memory of intermediate results anew at each call of a program, and the kernel hands it out page by
page, zeroed. glibc asks for large pages if its tunable says so, which it reads once, when the process starts. Further
tunables that keep freed memory in one heap take more time than they save in a process that compiles. On an accelerator
the CPU only compiles: the program then leaves the tunables alone.
"""

import glob
import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES = "glibc.malloc.hugetlb=1"
MOST_CORES = 4  # more have not been measured
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_ACCELERATORS = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/accel*", "/dev/vfio/[0-9]*", "/dev/kfd", "/dev/dxg")


def restart() -> None:
    """Starts this program again with large pages, in the same process, if they make it faster.

    Only for programs, before they import anything slow. A variable `GLIBC_TUNABLES` that is already set stays.
    """
    setting = _SETTING.read_text() if _SETTING.exists() else ""
    if helps(setting, os.environ, cores=_cores(), accelerator=any(map(glob.glob, _ACCELERATORS))):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "GLIBC_TUNABLES": TUNABLES})


def helps(setting: str, environment: Mapping[str, str], *, cores: int, accelerator: bool) -> bool:
    """Returns whether a restart makes the program faster.

    Args:
      setting: the kernel's setting, such as `always [madvise] never`; the chosen word stands in brackets.
      environment: environment variables by name. `JAX_PLATFORMS` (or `JAX_PLATFORM_NAME`) decides between the CPU and
        an accelerator, if it is set.
      cores: the number of cores that this process may use.
      accelerator: whether the machine has a GPU or TPU.

    >>> madvise = "always [madvise] never"
    >>> helps(madvise, {}, cores=2, accelerator=False), helps(madvise, {}, cores=8, accelerator=False)
    (True, False)
    >>> [helps(madvise, {"JAX_PLATFORMS": name}, cores=2, accelerator=True) for name in ("", "cpu")]
    [False, True]
    """
    platforms = environment.get("JAX_PLATFORMS") or environment.get("JAX_PLATFORM_NAME")
    on_cpu = platforms.split(",")[0].strip().lower() == "cpu" if platforms else not accelerator
    return "[madvise]" in setting and "GLIBC_TUNABLES" not in environment and on_cpu and cores <= MOST_CORES


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
