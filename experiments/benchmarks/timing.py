"""What the benchmarks share: variants take turns, medians are compared, a table or JSON is printed."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

Variants = Mapping[str, Callable[[], None]]


def take_turns(variants: Variants, *, rounds: int, repeats: int) -> dict[str, float]:
    """Milliseconds of each variant, warm: the median over rounds of the median of its calls in a round.

    The variants take turns, round by round, so that a noisy moment hits them all.
    """
    for run in variants.values():
        _median_ms(run, 5)
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


def report(name: str, times: Mapping[str, float], *, images: int, as_json: bool) -> dict[str, Any]:
    """Prints one row: `ratio` is the fastest peer's time divided by cnnlab's; above 1, cnnlab is faster.

    Args:
      name: of the row.
      times: milliseconds by variant; `cnnlab`, `flax` (plain, no peer) and the peers.
      images: in one call.
      as_json: print `{"rows": [...]}` alone.
    """
    peers = {peer: value for peer, value in times.items() if peer not in ("cnnlab", "flax")}
    ratio = round(min(peers.values()) / times["cnnlab"], 3) if peers else None
    row: dict[str, Any] = {"name": name, "ratio": ratio, "ms": {key: round(value, 3) for key, value in times.items()}}
    if not peers:
        row["skipped"] = "no peer is installed"
    told = {"rows": [row], "device": f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind}"}
    if as_json:
        print(json.dumps(told))
        return told
    for key, value in times.items():
        print(f"{key:20} {value:8.2f} ms   {images / value * 1000:10,.0f} images/s")
    print(f"best peer / cnnlab = {ratio}" if peers else row["skipped"])
    return told
