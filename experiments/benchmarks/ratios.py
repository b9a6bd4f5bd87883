"""One figure of the speed beside PyTorch, from the output of `train_step.py --json` and `inference.py --json`.

    python experiments/benchmarks/train_step.py --json > train_step.json
    python experiments/benchmarks/inference.py --json > inference.json
    python experiments/benchmarks/ratios.py train_step.json inference.json [--output speed.png]

A bar is the time of the fastest PyTorch divided by cnnlab's or plain Flax's, on a logarithmic axis. Beyond 1, the bar's
library is faster.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import tyro
from matplotlib.figure import Figure
from timing import OWN

from cnnlab.plots.canvas import new_figure

COLOURS = {"cnnlab": "#0072b2", "flax": "#bbbbbb"}
NAMES = {"cnnlab": "cnnlab", "flax": "plain Flax"}


def draw(titles: Sequence[str], tables: Sequence[list[dict]]) -> Figure:
    """Draws a panel for each table and a pair of bars for each network."""
    figure, axes = new_figure(columns=len(tables), size=(4.8 * len(tables), 4))
    for axis, title, rows in zip(axes.flat, titles, tables, strict=True):
        for k, way in enumerate(OWN):
            best = [min(ms for name, ms in row["ms"].items() if name not in OWN) for row in rows]
            ratios = [peer / row["ms"][way] for peer, row in zip(best, rows, strict=True)]
            places = [i + 0.4 * k for i in range(len(rows))]
            bars = axis.barh(places, [r - 1 for r in ratios], 0.38, left=1, color=COLOURS[way], label=NAMES[way])
            axis.bar_label(bars, [f"{r:.2f}" for r in ratios], fontsize=7, padding=2)
        axis.set_xscale("log")
        axis.set_xlim(0.05, 5)
        axis.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_yticks([i + 0.2 for i in range(len(rows))], [row["name"] for row in rows])
        axis.invert_yaxis()
        axis.set_title(title)
        axis.set_xlabel("best PyTorch time / ours")
    axes.flat[0].legend(loc="lower left", fontsize=8)
    return figure


def main(files: tyro.conf.Positional[tuple[Path, ...]], /, output: Path = Path("speed.png")) -> Path:
    """Draws the ratios of one or more benchmarks.

    Args:
        files: JSON files of the benchmarks; the name of a file is the title of its panel.
        output: image file of the figure.
    """
    tables = [json.loads(path.read_text())["rows"] for path in files]
    figure = draw([path.stem.replace("_", " ") for path in files], tables)
    figure.savefig(output, bbox_inches="tight")
    print(output)
    return output


if __name__ == "__main__":
    tyro.cli(main)
