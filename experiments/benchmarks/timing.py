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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from networks import ROWS, Row, Ways

import cnnlab
from cnnlab import huge_pages

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
    memory: bool = True
    """measure the peak memory of every variant, in a process of its own."""
    alone: str | None = None
    """print the peak memory of this variant in this process instead."""


def compare(script: str, own: Ways, peers: Callable[..., Ways], options: Comparison, *, passes: int) -> dict[str, Any]:
    """Times every way to run each network and prints the table.

    Args:
      script: the benchmark's file, which is called again for each way's peak memory.
      own: our ways, by name.
      peers: gives those of others, `compiled` or not; it is called where they are wanted.
      options: of the command line.
      passes: forward passes' worth of multiply-adds in one call: 1, or 3 with both gradients.
    """
    ways = {**own, **(peers(compiled=options.compiled) if options.peers else {})}
    if options.alone is not None:
        return print_peak(ways[options.alone], options.networks)
    rate, rows = matrix_rate(), []
    for name in options.networks:
        one = ROWS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        memory = {way: _peak_of(script, name, way) for way in ways if options.memory}
        calls = {way: build(one) for way, build in ways.items()}
        with _no_cache():
            first = {variant: _median_ms(run, 1) for variant, run in calls.items()}
        times = take_turns(calls, rounds=options.rounds, seconds=options.seconds)
        work = passes * one.batch * cnnlab.summary(one.network, one.size).multiply_adds
        told = {"size": one.size, "compile_s": {way: round(first[way] / 1000, 1) for way in first}}
        told |= {"peak_mb": memory, "matrix_share": round(work / (times["cnnlab"] / 1000) / rate, 3)}
        rows.append(row(name, times, images=one.batch) | told)
        print(f"{name}: {json.dumps(rows[-1])}", file=sys.stderr, flush=True)  # a run cut short has told what it found
    return print_rows(rows, as_json=options.json)


@contextlib.contextmanager
def _no_cache() -> Iterator[None]:
    """Compiles as a first run does."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def _peak_of(script: str, network: str, way: str) -> int | None:
    """The peak memory that `script` tells of one way, in MB; None where the system does not tell."""
    command = [sys.executable, script, "--networks", network, "--alone", way]
    command += ["--no-peers"] if way in OWN else []
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(told[-1]) if told else None


def print_peak(build: Callable[[Row], Callable[[], None]], networks: Sequence[str]) -> dict[str, int]:
    """Prints how far the process's memory rises above its imports while each network runs, compiled before, in MB."""
    status, found = Path("/proc/self/status"), {}
    if not status.exists():
        return found

    def kilobytes(field: str) -> int:
        return int(status.read_text().split(f"{field}:")[1].split()[0])

    for name in networks:
        before = kilobytes("VmRSS")
        run = build(ROWS[name])
        run()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        run()
        run()
        found[name] = round((kilobytes("VmHWM") - before) / 1024)
        print(found[name])
    return found


def matrix_rate() -> float:
    """Multiply-adds a second of a product of two 2048² matrices in single precision."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    return 2048**3 / take_turns({"": lambda: product(a, a).block_until_ready()}, rounds=3, repeats=5)[""] * 1000


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
    """The processor, what JAX computes on, and whether memory comes in large pages."""
    large = ", large pages" if huge_pages.TUNABLE in os.environ.get("GLIBC_TUNABLES", "") else ""
    return f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind}{large}"


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
