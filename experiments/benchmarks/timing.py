"""What the benchmarks share: variants take turns, medians are compared, a table or JSON is printed."""

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a device's memory is shared by the ways to compare

import jax
import jax.numpy as jnp
from networks import ROWS, Row, Ways

import cnnlab
from cnnlab.runtime import huge_pages

Variants = Mapping[str, Callable[[], None]]
OWN = ("cnnlab", "flax")  # the variants that are no peers


def take_turns(
    variants: Variants, *, rounds: int, repeats: int | None = None, seconds: float = 0.0, warm: int = 2
) -> dict[str, float]:
    """Milliseconds of each variant, after `warm` calls: the median over rounds of the median of its calls in a round.

    The variants take turns, round by round, so that a noisy moment hits them all. A round has so many `repeats` of
    each, or where these are left out as many as fit into so many seconds, three at least.
    """
    first = {name: _median_ms(run, warm) for name, run in variants.items()}
    table: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            table[name].append(_median_ms(run, repeats or max(3, round(1000 * seconds / first[name]))))
    return {name: statistics.median(values) for name, values in table.items()}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, and how long."""

    networks: tuple[str, ...] = tuple(ROWS)
    """names of rows."""
    json: bool = False
    """print one JSON object alone."""
    rounds: int = 7
    """turns of each variant."""
    seconds: float = 0.3
    """of a turn."""
    peers: bool = True
    """run PyTorch too."""
    compiled: bool = True
    """run `torch.compile` too."""
    alone: str | None = None
    """run this variant of the first network as often as each line of standard input says, and tell what it took."""


def compare(script: str, own: Ways, peers: Callable[..., Ways], options: Comparison, *, passes: int) -> dict[str, Any]:
    """Times every way to run each network, each in a process of its own, and prints the table.

    In one process the threads of one library would spin on into the turns of another, and share its memory.

    Args:
      script: the benchmark's file, which is called again for each way.
      own: our ways, by name.
      peers: gives those of others, `compiled` or not; it is called where they are wanted.
      options: of the command line.
      passes: forward passes' worth of multiply-adds in one call: 1, or 3 with both gradients.
    """
    ways = {**own, **(peers(compiled=options.compiled) if options.peers else {})}
    if options.alone is not None:
        return _answer(ways[options.alone], ROWS[options.networks[0]])
    rate, rows = matrix_rate(), []
    for name in options.networks:
        one = ROWS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        first, rounds = _measure(script, name, ways, options)
        times = {way: statistics.median(turn[way]["ms"] for turn in rounds) for way in ways}
        work = passes * one.batch * cnnlab.summary(one.network, one.size).multiply_adds
        told = {"size": one.size, "compile_s": {way: round(first[way]["ms"] / 1000, 1) for way in ways}}
        told |= {"peak_mb": {way: rounds[-1][way]["peak_mb"] for way in ways}}
        told |= {"matrix_share": round(work / (times["cnnlab"] / 1000) / rate, 3)}
        rows.append(row(name, times, images=one.batch) | told)
        print(f"{name}: {json.dumps(rows[-1])}", file=sys.stderr, flush=True)  # a run cut short has told what it found
    return print_rows(rows, as_json=options.json)


Told = Mapping[str, Any]  # what a process tells: milliseconds of a call, and its peak memory in MB where it is known


def _measure(
    script: str, network: str, ways: Iterable[str], options: Comparison
) -> tuple[dict[str, Told], list[dict[str, Told]]]:
    """What each way tells of its first call, and of its calls in every round."""
    with contextlib.ExitStack() as stack:
        ask = {way: stack.enter_context(_process(script, network, way)) for way in ways}
        first = {way: call(1) for way, call in ask.items()}
        repeats = {way: max(3, round(1000 * options.seconds / call(2)["ms"])) for way, call in ask.items()}
        return first, [{way: call(repeats[way]) for way, call in ask.items()} for _ in range(options.rounds)]


@contextlib.contextmanager
def _process(script: str, network: str, way: str) -> Iterator[Callable[[int], Told]]:
    """A process that runs one way of a network as often as it is asked to."""
    command = [sys.executable, script, "--networks", network, "--alone", way]
    command += ["--no-peers"] if way in OWN else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(repeats: int) -> Told:
            process.stdin.write(f"{repeats}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{way} of {network} ended: its error is above, `{' '.join(command)}` runs it alone")
            return json.loads(answer)

        yield ask


def _answer(build: Callable[[Row], Callable[[], None]], one: Row) -> dict[str, Any]:
    """Runs a way as often as each line of standard input says and prints what it took, the first time as a first run.

    The peak memory is that above the imports, once the first call has compiled.
    """
    before, told = _kilobytes("VmRSS") if jax.default_backend() == "cpu" else None, {}
    run = build(one)
    jax.config.update("jax_enable_compilation_cache", False)
    for line in sys.stdin:
        told = {"ms": _median_ms(run, int(line))}
        told |= {"peak_mb": before and round((_kilobytes("VmHWM") - before) / 1024)}
        print(json.dumps(told), flush=True)
        if line.strip() == "1" and before:
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    return told


def _kilobytes(field: str) -> int | None:
    """A number of the process's status; None where the system has none."""
    status = Path("/proc/self/status")
    return int(status.read_text().split(f"{field}:")[1].split()[0]) if status.exists() else None


def matrix_rate(side: int = 2048, dtype: Any = jnp.float32) -> float:
    """Multiply-adds a second of a product of two square matrices."""
    a = jnp.ones((side, side), dtype)
    product = jax.jit(jnp.matmul)
    return side**3 / take_turns({"": lambda: product(a, a).block_until_ready()}, rounds=3, repeats=5)[""] * 1000


def _median_ms(run: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def row(name: str, times: Mapping[str, float], *, images: int, own: Sequence[str] = OWN) -> dict:
    """One line of a table: `ratio` is the fastest peer's time divided by cnnlab's; above 1, cnnlab is faster.

    Args:
      name: of the row.
      times: milliseconds by variant, `cnnlab` among them.
      images: in one call.
      own: the variants that are no peers.
    """
    peers = [value for variant, value in times.items() if variant not in own]
    rounded = {variant: round(value, 3) for variant, value in times.items()}
    found = {"name": name, "images": images, "ms": rounded, "ratio": None}
    return found | ({"ratio": round(min(peers) / times["cnnlab"], 3)} if peers else {"skipped": "no peer is installed"})


def device() -> str:
    """The processor, its cores, what JAX computes on, and whether memory comes in large pages and is kept."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    memory = (
        ", large pages kept" if tunables == huge_pages.TUNABLES else ", large pages" if "hugetlb" in tunables else ""
    )
    return f"{_processor()}, {jax.devices()[0].device_kind}{memory}"


def _processor() -> str:
    """Its model, where Linux tells it, and the cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cores = len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        lines, cores = [], os.cpu_count()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores} cores of {(models or [platform.processor() or platform.machine()])[0]}"


def print_rows(rows: Sequence[dict], *, as_json: bool) -> dict[str, Any]:
    """Prints all rows, or `{"rows": [...]}` alone."""
    told = {"rows": list(rows), "device": device()}
    if as_json:
        print(json.dumps(told))
        return told
    for one in rows:
        print(one["name"])
        for variant, value in one["ms"].items():
            print(f"  {variant:20} {value:9.2f} ms   {one['images'] / value * 1000:10,.0f} images/s")
        print(f"  best peer / cnnlab = {one['ratio']}" if one["ratio"] else f"  {one['skipped']}")
    return told


def report(name: str, times: Mapping[str, float], *, images: int, as_json: bool) -> dict[str, Any]:
    """A table of one row."""
    return print_rows([row(name, times, images=images)], as_json=as_json)
