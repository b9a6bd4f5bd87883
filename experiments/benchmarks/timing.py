"""What the benchmarks share: variants run in turns, medians are compared, and a table or JSON is printed."""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the libraries share a device's memory

import jax
import jax.numpy as jnp
from networks import ROWS, Row, Ways

import cnnlab

sys.path.append(str(Path(__file__).parents[1]))  # results.py is in the folder above
from results import OFF, Recording, processor
from results import Options as Options

Variants = Mapping[str, Callable[[], None]]
OWN = ("cnnlab", "flax")  # the variants that are not peers
UNITS = {"ms": "ms", "peak_mb": "peak MB", "compile_s": "compile s", "frames_per_second": "frames/s"}
"""Unit of each field of a row that has a value for each variant."""
SIZES = ("images", "steps", "T")
"""Numeric fields of a row that are no measurement."""


def take_turns(
    variants: Variants, *, rounds: int, repeats: int | None = None, seconds: float = 0.0, warm: int = 2
) -> dict[str, float]:
    """Measures milliseconds of a call of each variant, after `warm` calls.

    The result is the median over rounds of the median over the calls of a round. The variants run in turns, round by
    round, so that a noisy moment affects all of them.

    Args:
      variants: functions to time, by name.
      rounds: number of turns of each variant.
      repeats: calls in a turn. Without it, as many calls as fit into `seconds`, and at least three.
      seconds: length of a turn.
      warm: untimed calls of each variant at the start.
    """
    first = {name: median_ms(run, warm) for name, run in variants.items()}
    table: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            table[name].append(median_ms(run, repeats or max(3, round(1000 * seconds / first[name]))))
    return {name: statistics.median(values) for name, values in table.items()}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Networks to compare and the length of the comparison."""

    networks: tuple[str, ...] = tuple(ROWS)
    """names of networks."""
    json: bool = False
    """print one JSON object only."""
    rounds: int = 7
    """turns of each variant."""
    seconds: float = 0.3
    """length of a turn."""
    peers: bool = True
    """run PyTorch too."""
    compiled: bool = True
    """run `torch.compile` too."""
    alone: str | None = None
    """run this variant of the first network as often as each line of standard input says, and print its time."""


def compare(
    script: str,
    own: Ways,
    peers: Callable[..., Ways],
    options: Comparison,
    *,
    passes: int,
    title: str,
    recording: Recording = OFF,
) -> dict[str, Any]:
    """Times every variant of each network, each in its own process, and prints the table.

    In one process the threads of one library would keep spinning during the turns of another, and share its memory.

    Args:
      script: file of the benchmark, which is called again for each variant.
      own: cnnlab's variants, by name.
      peers: function that returns the variants of other libraries. It is called only if they are compared.
      options: options of the command line.
      passes: multiply-adds of one call in forward passes: 1, or 3 with both gradients.
      title: name of the benchmark among the results.
      recording: whether the results are stored.
    """
    ways = {**own, **(peers(compiled=options.compiled) if options.peers else {})}
    if options.alone is not None:
        return _serve(ways[options.alone], ROWS[options.networks[0]])
    rate, rows = matrix_rate(), []
    for name in options.networks:
        network = ROWS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        first, rounds = _measure(script, name, ways, options)
        times = {way: statistics.median(turn[way]["ms"] for turn in rounds) for way in ways}
        work = passes * network.batch * cnnlab.summary(network.network, network.size).multiply_adds
        fields = {"size": network.size, "compile_s": {way: round(first[way]["ms"] / 1000, 1) for way in ways}}
        fields |= {"peak_mb": {way: rounds[-1][way]["peak_mb"] for way in ways}}
        fields |= {"matrix_share": round(work / (times["cnnlab"] / 1000) / rate, 3)}
        rows.append(row(name, times, images=network.batch) | fields)
        print(f"{name}: {json.dumps(rows[-1])}", file=sys.stderr, flush=True)  # a run cut short has printed its rows
    return print_rows(rows, as_json=options.json, title=title, recording=recording)


Measurement = Mapping[str, Any]  # milliseconds of a call, and the process's peak memory in MB where it is known


def _measure(
    script: str, network: str, ways: Iterable[str], options: Comparison
) -> tuple[dict[str, Measurement], list[dict[str, Measurement]]]:
    """Measures the first call of each variant, and its calls in every round."""
    with contextlib.ExitStack() as stack:
        ask = {way: stack.enter_context(_process(script, network, way)) for way in ways}
        first = {way: call(1) for way, call in ask.items()}
        repeats = {way: max(3, round(1000 * options.seconds / call(2)["ms"])) for way, call in ask.items()}
        return first, [{way: call(repeats[way]) for way, call in ask.items()} for _ in range(options.rounds)]


@contextlib.contextmanager
def _process(script: str, network: str, way: str) -> Iterator[Callable[[int], Measurement]]:
    """Starts a process that runs one variant of a network, and yields a function that asks it for so many calls."""
    options = ("--networks", network, "--alone", way, *(["--no-peers"] if way in OWN else []))
    with process(script, *options, name=f"{way} of {network}") as ask:
        yield ask


@contextlib.contextmanager
def process(
    script: str, *options: str, name: str, python: str = sys.executable
) -> Iterator[Callable[[Any], Measurement]]:
    """Starts a script in a process of its own.

    Yields a function that sends a line to its standard input and returns the JSON object that it prints.
    """
    command = [python, script, *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:

        def ask(question: Any) -> Measurement:
            child.stdin.write(f"{question}\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                raise RuntimeError(f"{name} ended: its error is above, `{' '.join(command)}` runs it alone")
            return json.loads(line)

        yield ask


def _serve(build: Callable[[Row], Callable[[], None]], network: Row) -> dict[str, Any]:
    """Runs a variant as often as each line of standard input says, and prints the time of a call and the peak memory.

    The peak memory counts from the state after the imports, to which the compiler's own library belongs. After the
    first call, which compiles, it counts anew.
    """
    jax.jit(jnp.negative)(0.0)  # loads the compiler
    before, measurement = _kilobytes("VmRSS") if jax.default_backend() == "cpu" else None, {}
    run = build(network)
    jax.config.update("jax_enable_compilation_cache", False)
    for line in sys.stdin:
        measurement = {"ms": median_ms(run, int(line))}
        measurement |= {"peak_mb": before and round((_kilobytes("VmHWM") - before) / 1024)}
        print(json.dumps(measurement), flush=True)
        if line.strip() == "1" and before:
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    return measurement


def _kilobytes(field: str) -> int | None:
    """Reads a number from the process's status; None where the system has no such file."""
    status = Path("/proc/self/status")
    return int(status.read_text().split(f"{field}:")[1].split()[0]) if status.exists() else None


def matrix_rate(side: int = 2048, dtype: Any = jnp.float32) -> float:
    """Measures the multiply-adds a second of a product of two square matrices."""
    a = jnp.ones((side, side), dtype)
    product = jax.jit(jnp.matmul)
    return side**3 / take_turns({"": lambda: product(a, a).block_until_ready()}, rounds=3, repeats=5)[""] * 1000


def median_ms(run: Callable[[], None], repeats: int) -> float:
    """Returns the median milliseconds of so many calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def row(name: str, times: Mapping[str, float], *, images: int, own: Sequence[str] = OWN) -> dict:
    """Returns one row of a table.

    `ratio` is the time of the fastest peer divided by cnnlab's. Above 1, cnnlab is faster.

    Args:
      name: name of the row.
      times: milliseconds by variant, among them `cnnlab`.
      images: number of images in one call.
      own: names of the variants that are not peers.
    """
    peers = [value for variant, value in times.items() if variant not in own]
    rounded = {variant: round(value, 3) for variant, value in times.items()}
    fields = {"name": name, "images": images, "ms": rounded, "ratio": None}
    return fields | (
        {"ratio": round(min(peers) / times["cnnlab"], 3)} if peers else {"skipped": "no peer is installed"}
    )


def device() -> str:
    """Returns the processor, its cores, JAX's device, and how memory is paged: `large pages`, and whether kept."""
    return ", ".join(part for part in (processor(), jax.devices()[0].device_kind, _pages()) if part)


def _pages() -> str | None:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    kept = "hugetlb" in tunables and "mmap_max=0" in tunables
    return "large pages kept" if kept else "large pages" if "hugetlb" in tunables else None


def print_rows(rows: Sequence[dict], *, as_json: bool, title: str = "", recording: Recording = OFF) -> dict[str, Any]:
    """Prints all rows, or only the object `{"rows": [...], "device": ...}`, and stores them if asked to.

    Args:
      rows: rows of the table.
      as_json: print one JSON object.
      title: name of the benchmark, which comes before each row's name among the results.
      recording: whether the results are stored.
    """
    report = {"rows": list(rows), "device": device()}
    record_rows(rows, title, recording)
    if as_json:
        print(json.dumps(report))
        return report
    for fields in rows:
        print(fields["name"])
        for variant, value in fields["ms"].items():
            print(f"  {variant:20} {value:9.2f} ms   {fields['images'] / value * 1000:10,.0f} images/s")
        print(f"  best peer / cnnlab = {fields['ratio']}" if fields["ratio"] else f"  {fields['skipped']}")
    return report


def record_rows(rows: Iterable[dict], title: str, recording: Recording) -> None:
    """Stores the measurements of all rows if `recording` asks for it."""
    for fields in rows:
        metrics = {}
        for key, value in fields.items():
            if isinstance(value, dict):
                metrics |= {f"{variant} ({UNITS.get(key, key)})": number for variant, number in value.items() if number}
            elif isinstance(value, int | float) and key not in SIZES:
                metrics[key] = value
        name = f"{title}, {fields['name']}" if title else fields["name"]
        recording.add(name, metrics, group="speed", note=None if _pages() is None else f"With {_pages()}.")


def report(
    name: str, times: Mapping[str, float], *, images: int, as_json: bool, recording: Recording = OFF
) -> dict[str, Any]:
    """Prints a table of one row, and stores it if asked to."""
    return print_rows([row(name, times, images=images)], as_json=as_json, recording=recording)
