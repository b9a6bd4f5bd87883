"""Writes docs/performance.md from docs/performance.json, which layers.py measures: python performance_page.py"""

import json
from pathlib import Path

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


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(page(json.loads((DOCS / "performance.json").read_text())))
