"""The cost of MC-Dropout against the number of passes T and the batch size, beside PyTorch's loop, baal and
torch-uncertainty.

    pip install ".[peers]" && python experiments/benchmarks/mc_cost.py [--json] [--output runs/mc_cost] [--record]

There is one row for each network, batch size and T. `passes` is cnnlab's time in multiples of one of its own
deterministic passes.

Where no convolution follows the dropout, many passes cost about as much as a few single ones, and PyTorch's loop is
cheaper only for a single pass.
"""

import importlib.util
from pathlib import Path
from typing import Annotated

import tyro
from mc_dropout import NETWORKS, cnnlab_calls, torch_calls
from timing import OFF, Options, print_rows, row, take_turns

from cnnlab.plots.canvas import new_figure

PASSES, BATCHES = (1, 2, 5, 10, 20, 50, 100), (1, 16, 128)
STYLES = {"cnnlab": "o-", "torch loop": "s:", "baal": "^--", "torch-uncertainty": "v-."}


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    passes: tuple[int, ...] = PASSES,
    batches: tuple[int, ...] = BATCHES,
    rounds: int = 3,
    seconds: float = 0.3,
    peers: bool = True,
    output: Path = Path("runs/mc_cost"),
    recording: Options = OFF,
) -> dict:
    """Times every T and batch size, prints a table or JSON, and draws the figure.

    Args:
        json_only: print one JSON object.
        passes: numbers of passes T.
        batches: batch sizes.
        rounds: turns of every variant.
        seconds: length of a turn, which has at least three calls.
        peers: time PyTorch and the two libraries too, where they are installed.
        output: folder of the figure.
        recording: whether the results are stored.
    """
    rows = []
    for name, (model, options) in NETWORKS.items():
        for batch in batches:
            for t in passes:
                many, once = cnnlab_calls(model, options, batch=batch, passes=t)
                variants = {"cnnlab": many, "one pass": once}
                if peers and importlib.util.find_spec("torch"):
                    variants |= torch_calls(model, options, batch=batch, passes=t)
                times = take_turns(variants, rounds=rounds, seconds=seconds)
                fields = row(f"{name}, batch {batch}, T {t}", times, images=batch, own=("cnnlab", "one pass"))
                fields |= {"network": name, "T": t, "passes": round(times["cnnlab"] / times["one pass"], 2)}
                rows.append(fields)
    output.mkdir(parents=True, exist_ok=True)
    _draw(rows).savefig(output / "cost.png", bbox_inches="tight")
    return print_rows(rows, as_json=json_only, title="MC-Dropout", recording=recording)


def _draw(rows: list[dict]):
    networks = list(dict.fromkeys(fields["network"] for fields in rows))
    figure, axes = new_figure(1, len(networks), size=(4 * len(networks), 3.4))
    for axis, network in zip(axes[0], networks, strict=True):
        own = [fields for fields in rows if fields["network"] == network]
        for batch, colour in zip(
            sorted({fields["images"] for fields in own}), ("#0072b2", "#d55e00", "#009e73"), strict=False
        ):
            line = [fields for fields in own if fields["images"] == batch]
            for variant, style in STYLES.items():
                if variant in line[0]["ms"]:
                    times = [fields["ms"][variant] for fields in line]
                    label = f"{variant}, batch {batch}"
                    axis.loglog([fields["T"] for fields in line], times, style, color=colour, markersize=3, label=label)
        axis.set(title=network, xlabel="passes T", ylabel="ms")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    batches = len({fields["images"] for fields in rows})
    figure.legend(handles, labels, loc="outside lower center", ncols=batches, frameon=False, fontsize=7)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
