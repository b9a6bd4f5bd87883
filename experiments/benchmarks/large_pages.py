"""glibc's settings of memory, each alone and together: compiling, train steps, and decoding photos by threads.

    python experiments/benchmarks/large_pages.py [--json] [--cores 1 2 4] [--record]

Every setting is measured on the CPU in processes of its own that may use only so many cores. The settings take turns,
round by round. `ratio` is the median time without any setting divided by that with the setting: above 1, the setting
saves time. `cpu_ms` and `faults`, the processor's time and the page faults of a call, mean something on a busy machine
too. The tunables of `GLIBC_TUNABLES` hold from the start of a process. `mallopt` makes the same settings without
a restart, as far as that is possible: one arena, no mapped blocks, nothing given back, and large pages for a heap that
is reserved at the start; glibc offers no such call for the thread caches.

On two cores `hugetlb` alone takes away most page faults of a train step, and all tunables together every one. But with
all of them a process compiles for half as long again, and its steps then take longer than with `hugetlb` alone, which
`cnnlab` therefore sets. `mallopt` takes away nearly all faults too, but a step then takes more of the processor's time
than without any setting, so `cnnlab` still restarts. More than two cores have not been measured.
"""

import ctypes
import json
import os
import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

MALLOPT = "CNNLAB_MALLOPT"  # variable of the environment of the processes that make their settings themselves


def settle(parts: str) -> None:
    """Makes settings of glibc's memory in this process: `arena`, `mapped`, `trim`, `pages`, separated by commas."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.sbrk.restype = ctypes.c_void_p, ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    names = {"arena": (-8, 1), "mapped": (-4, 0), "trim": (-1, -1)}  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD
    for part in set(parts.split(",")) & set(names):
        if not libc.mallopt(*names[part]):
            raise OSError(f"glibc refuses mallopt of {part}")
    if "pages" in parts:
        large = 1 << 21
        start = -(-libc.sbrk(0) // large) * large
        reserved = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        libc.free(libc.malloc(reserved))  # the heap's end grows, and no page of it is touched
        if libc.madvise(start, libc.sbrk(0) - start, 14):  # MADV_HUGEPAGE
            raise OSError("the kernel refuses large pages")


if MALLOPT in os.environ:  # before anything else asks for memory
    settle(os.environ[MALLOPT])

import jax
import tyro
from cores import ON_THE_CPU, counts, on_cores, photos, read_photos
from networks import ROWS
from timing import OFF, Options, device, median_ms, process
from train_step import calls, train_program

import cnnlab

TUNABLES = {
    "glibc.malloc.hugetlb": 1,  # what `cnnlab` sets
    "glibc.malloc.mmap_max": 0,  # large blocks lie in the heap too: a mapped block would be given back when it is freed
    "glibc.malloc.trim_threshold": 1 << 36,  # the end of the heap is not given back either
    "glibc.malloc.arena_max": 1,  # one heap: those of other threads are too small for large blocks
    "glibc.malloc.tcache_count": 0,  # thread caches keep small leftovers, so freed memory cannot be merged
}
SETTINGS = {
    "none": {},
    **{name.rpartition(".")[2]: {"GLIBC_TUNABLES": f"{name}={value}"} for name, value in TUNABLES.items()},
    "all": {"GLIBC_TUNABLES": ":".join(f"{name}={value}" for name, value in TUNABLES.items())},
    "mallopt, kept": {MALLOPT: "arena,mapped,trim"},
    "mallopt": {MALLOPT: "arena,mapped,trim,pages"},
}
"""Variables of the environment by the name of a setting."""


def cost(run: Callable[[], None], repeats: int) -> dict[str, float]:
    """Returns median milliseconds, and the processor's milliseconds and the page faults of a call on average."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    ms = median_ms(run, repeats)
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"ms": ms, "cpu_ms": 1000 * busy / repeats, "faults": (after.ru_minflt - before.ru_minflt) / repeats}


def serve(networks: tuple[str, ...], batch: int | None, folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Measures all works once and prints their costs."""
    jax.config.update("jax_enable_compilation_cache", False)
    costs = {}

    def again(run: Callable[[], None]) -> dict[str, float]:
        return cost(run, max(3, round(1000 * seconds / median_ms(run, 2))))

    for network in networks:
        row = ROWS[network]
        row = row._replace(batch=batch or row.batch)
        steps = []
        first = cost(lambda row=row, steps=steps: (steps.append(calls(*train_program(row, cnnlab.jit))), steps[0]()), 1)
        costs |= {f"compile {network}": first, f"train step {network}": again(steps[0])}
    costs["photos"] = again(read_photos(folder))
    print(json.dumps(costs), flush=True)
    return costs


def measured(
    *,
    cores: tuple[int, ...] = (),
    settings: tuple[str, ...] = tuple(SETTINGS),
    networks: tuple[str, ...] = ("lenet5", "unet"),
    batch: int | None = None,
    files: int = 128,
    rounds: int = 3,
    seconds: float = 1.0,
) -> Iterator[dict[str, Any]]:
    """Yields the rows of each number of cores when it is measured; see `main` for the arguments."""
    for number in cores or counts():
        costs: dict[str, dict[str, list[dict[str, float]]]] = {}
        with photos(files) as folder:
            options = ["--alone", "--folder", str(folder), "--seconds", str(seconds), "--networks", *networks]
            options += ["--batch", str(batch)] if batch else []
            for _ in range(rounds):
                for setting in settings:
                    print(f"{number} cores, {setting} ...", file=sys.stderr, flush=True)
                    with (
                        on_cores(number, ON_THE_CPU | SETTINGS[setting]),
                        process(__file__, *options, name=setting) as ask,
                    ):
                        for work, once in ask("").items():
                            costs.setdefault(work, {}).setdefault(setting, []).append(once)
        for work, table in costs.items():
            fields = {
                key: {
                    setting: round(statistics.median(once[key] for once in each), 2) for setting, each in table.items()
                }
                for key in ("ms", "cpu_ms", "faults")
            }
            ratios = {setting: round(fields["ms"]["none"] / value, 3) for setting, value in fields["ms"].items()}
            yield {"name": f"large pages, {work}, {number} cores"} | fields | {"ratio": ratios}


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    cores: tuple[int, ...] = (),
    settings: tuple[str, ...] = tuple(SETTINGS),
    networks: tuple[str, ...] = ("lenet5", "unet"),
    batch: int | None = None,
    files: int = 128,
    rounds: int = 3,
    seconds: float = 1.0,
    folder: Path | None = None,
    alone: bool = False,
    recording: Options = OFF,
) -> dict:
    """Measures all settings on each number of cores and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        cores: numbers of cores; by default 1, 2, 4, ... and all that the process may use.
        settings: names of the settings; `none` must be among them.
        networks: names of the networks that are compiled and trained.
        batch: images of a train step, in place of the network's own batch size.
        files: number of photos.
        rounds: processes of each setting.
        seconds: time of each work in a process, of which there are at least three calls.
        folder: folder of photos that `alone` reads.
        alone: measure the setting of this process's environment only.
        recording: whether the results are stored.
    """
    if alone:
        return serve(networks, batch, folder, seconds)
    rows = []
    options = {"settings": settings, "networks": networks, "batch": batch, "files": files}
    for row in measured(cores=cores, rounds=rounds, seconds=seconds, **options):
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        faster = {f"{setting} (times as fast)": ratio for setting, ratio in row["ratio"].items()}
        recording.add(row["name"], faster, group="speed")
    report = {"rows": rows, "device": device()}
    if json_only:
        print(json.dumps(report))
        return report
    for fields in rows:
        print(fields["name"])
        for key in ("ratio", "cpu_ms", "faults"):
            print(f"  {key:>7}  " + "  ".join(f"{setting} {value:.2f}" for setting, value in fields[key].items()))
    return report


if __name__ == "__main__":
    tyro.cli(main)
