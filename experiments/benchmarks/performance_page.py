"""Writes the pages of the measurements: python performance_page.py

docs/performance.md shows docs/performance.json, which layers.py measures. The last section of docs/devices.md shows the
files of docs/devices, which device_report.py writes; the text above it is written by hand.
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
        "GPUs, precision and many cores have [a page of their own](devices.md).",
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


BEGIN, END = "<!-- devices -->", "<!-- end of devices -->"


def with_devices(text: str, reports: Iterable[Mapping[str, Any]]) -> str:
    """Returns a page with a section for each device between its two markers; without a report it says so."""
    sections = [_device(report) for report in reports] or ["No accelerator has been measured with this report yet.\n"]
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return "\n".join([f"{before}{BEGIN}", *sections, END]) + after


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
    also += [row["cut"]] if "cut" in row else []
    own = f"{times['cnnlab']:g}" if "cnnlab" in times else ""
    ratio = f"{row['ratio']:.2f}" if row.get("ratio") else ""
    return [text.replace("|", "/") for text in (row["name"], own, fastest, ratio, ", ".join(also), row["date"])]


def stored_reports(folder: Path = DOCS / "devices") -> list[dict[str, Any]]:
    """Reads the reports of all devices; there may be none."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(page(json.loads((DOCS / "performance.json").read_text())))
    devices = DOCS / "devices.md"
    devices.write_text(with_devices(devices.read_text(), stored_reports()))
