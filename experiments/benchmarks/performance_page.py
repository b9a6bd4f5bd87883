"""Writes the pages of the measurements: python performance_page.py

docs/performance.md shows docs/performance.json, which layers.py measures, and docs/devices.md the files of docs/devices,
which device_report.py writes.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def page(table: dict) -> str:
    """Returns the page of the measurements, as Markdown."""
    lines = [
        "# Performance of convolutions",
        "",
        "Written by `experiments/benchmarks/performance_page.py` from `performance.json`.",
        "",
        "## Layers",
        "",
        "Milliseconds of each part of a layer by cnnlab, by XLA's direct convolution and by PyTorch's faster memory",
        "layout. The ratio is PyTorch's time (without PyTorch, the direct one's) divided by cnnlab's: above 1, cnnlab",
        "is faster. `layers.py --output docs/performance.json` measures them.",
        "",
        "| layer | image | part | cnnlab | direct | PyTorch | ratio | machine | date | jaxlib |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in table["layers"]:
        ms = [f"{one['ms'][way]:g}" if way in one["ms"] else "" for way in ("cnnlab", "direct", "torch")]
        cells = [one["layer"], one["image"], one["part"], *ms, f"{one['ratio']:.2f}"]
        lines.append(f"| {' | '.join([*cells, one['machine'], one['date'], one['jaxlib']])} |")
    lines += [
        "",
        "## Rules",
        "",
        "The measurements that decided the rules of `cnnlab/kernels`, in milliseconds, before they had a script.",
        "Slashes separate forward pass, image gradient and kernel gradient. Most dates were not recorded.",
        "",
    ]
    for one in table["rules"]:
        origin = f"{one['machine']}, {one['date'] or 'no date'}, jaxlib {one['jaxlib']}"
        lines.append(f"- `{one['rule']}` ({origin}): {one['milliseconds']}")
    return "\n".join(lines) + "\n"


PRECISION = """\
# Accelerators and many cores

Written by `experiments/benchmarks/performance_page.py`.

## Precision and determinism

- **float32 is the default.** On NVIDIA's GPUs JAX multiplies float32 numbers in TF32 by default, which rounds the factors
  to 10 bits of mantissa and adds in float32. cnnlab leaves this default: it is what PyTorch does for convolutions.
  `JAX_DEFAULT_MATMUL_PRECISION=highest cnnlab train` multiplies in full float32. On a CPU there is no TF32.
- **`--training.precision bfloat16`** computes the network in bfloat16, and keeps parameters, batch norm's statistics and
  losses in float32. It needs no loss scaling, because bfloat16 has the exponents of float32.
- **Measurements are never rounded to TF32**: the filters of `cnnlab.ops`, distortions and averages over passes ask for
  the highest precision.
- **A resumed run has the same bits on a CPU.** On a GPU sums by atomic additions depend on the order of the threads, and
  XLA times several kernels and takes the fastest, which may be another one in the next process.
  `XLA_FLAGS=--xla_gpu_deterministic_ops=true cnnlab train` excludes both. The tests on a device set this option and
  check that a resumed run ends with the same bits; what the option costs has not been measured.
- **Compiled programs are kept** in `~/.cache/cnnlab/compiled`. JAX stores XLA's choices of GPU kernels beside them.

## Measured devices

`device_report.py` measures everything below in one run of at most ten minutes. A ratio is the time of the fastest variant
of PyTorch divided by cnnlab's, both warm, by medians: above 1, cnnlab is faster. The share of the peak is the rate of
multiply-adds divided by that of the device's data sheet (`roofline.py` names the sheets); the share of the roofline
also counts the bytes that the program reads and writes.
"""


def devices_page(reports: Iterable[Mapping[str, Any]]) -> str:
    """Returns the page of the reports of devices, as Markdown; without a report it says that there is none."""
    sections = [_device(report) for report in reports]
    return "\n".join([PRECISION, *(sections or ["No accelerator has been measured with this report yet.\n"])])


def _device(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    number = f"{machine['devices']} x " if machine["devices"] > 1 else ""
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "jax", "torch") if name in machine)
    lines = [
        f"### {number}{machine['device']}",
        "",
        f"With {machine['processor']}; {versions}.",
        "",
        "| what | cnnlab, ms | fastest PyTorch, ms | ratio | also | date |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cells(row))} |" for row in report["rows"]]
    for case, problem in report["problems"].items():
        ((kind, reason),) = problem.items()
        lines += ["", f"`{case}` {'has failed' if kind == 'failed' else 'was left out'}: {reason}."]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    times = {name: ms for name, ms in row.get("ms", {}).items() if not isinstance(ms, dict)}
    peers = {ms: name for name, ms in times.items() if name.startswith("torch")}
    fastest = f"{min(peers):g} ({peers[min(peers)]})" if peers else ""
    also = [f"{name} {value:g}" for name, value in row.get("facts", {}).items()]
    also += [f"{name} {ms:g} ms" for name, ms in times.items() if name != "cnnlab" and name not in peers.values()]
    also += [f"{key} {n}: {value:g}" for key in ("speedup", "ratios") for n, value in (row.get(key) or {}).items()]
    also += [f"{name} has failed" for name in row.get("failed", ())] + [
        f"failed: `{name}`" for name in row.get("failures", ())
    ]
    own = f"{times['cnnlab']:g}" if "cnnlab" in times else ""
    ratio = f"{row['ratio']:.2f}" if row.get("ratio") else ""
    return [text.replace("|", "/") for text in (row["name"], own, fastest, ratio, ", ".join(also), row["date"])]


def stored_reports(folder: Path = DOCS / "devices") -> list[dict[str, Any]]:
    """Reads the reports of all devices; there may be none."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(page(json.loads((DOCS / "performance.json").read_text())))
    (DOCS / "devices.md").write_text(devices_page(stored_reports()))
