"""What the benchmarks share: variants take turns, medians are compared, a table or JSON is printed."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

Variants = Mapping[str, Callable[[], None]]


def take_turns(variants: Variants, *, rounds: int, repeats: int, warm: int = 5) -> dict[str, float]:
    """Milliseconds of each variant, after `warm` calls: the median over rounds of the median of its calls in a round.

    The variants take turns, round by round, so that a noisy moment hits them all.
    """
    for run in variants.values():
        _median_ms(run, warm)
    table: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            table[name].append(_median_ms(run, repeats))
    return {name: statistics.median(values) for name, values in table.items()}


def _median_ms(run: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def row(name: str, times: Mapping[str, float], *, images: int, own: Sequence[str] = ("cnnlab", "flax")) -> dict:
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


def print_rows(rows: Sequence[dict], *, as_json: bool) -> dict[str, Any]:
    """Prints all rows, or `{"rows": [...]}` alone."""
    told = {
        "rows": list(rows),
        "device": f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind}",
    }
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
