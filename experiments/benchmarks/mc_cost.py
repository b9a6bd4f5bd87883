"""What MC-Dropout costs against the number of passes T and the batch size, beside the loop in PyTorch, baal and
torch-uncertainty.

    pip install ".[peers]" && python experiments/benchmarks/mc_cost.py [--json] [--output runs/mc_cost]

One row a network, batch size and T; `passes` is cnnlab's time in multiples of one of its own deterministic passes.
Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, large pages, 2026-11-21, `--rounds 1 --passes 1 5 20 50
100`, ms of T 1, 50, 100 and those of the loop in PyTorch: LeNet5, batch 1: .5 .5 .5, .8 16 24; batch 128: 1.8 4.6 13,
3.0 157 408. Keras network, dropout in its head, batch 1: 1.6 1.3 1.1, .9 21 41; batch 128: 29 24 23, 21 1070 2130.
Spatial dropout, batch 1: 1.9 1.7 1.5, .9 36 45; batch 128: 43 82 44, 21 1053 2096. So a hundred passes cost 1 to 3.5
single ones (figures scatter by a factor of up to 2), and PyTorch's loop is cheaper only where T is 1. On two cores of a
newer EPYC (AVX-512), 2026-11-23, `--rounds 1 --passes 1 10 50 --batches 1 128`, ms of T 50 at batch 128, cnnlab, the
loop, baal, torch-uncertainty: LeNet5 2.7 116 155 167; Keras network, head 32 697 2919 1659 (12 at T 10); spatial
dropout 25 725 4367 2047; LeNet5 with spatial dropout after each convolution 43 153 240 188. Of one image of LeNet5 the
two libraries take 1.0 to 1.5 ms, cnnlab .5 to 1.3; of the Keras network 9.6 to 11.6, cnnlab .5 to 1.4.
"""

import importlib.util
from pathlib import Path
from typing import Annotated

import tyro
from mc_dropout import NETWORKS, cnnlab_calls, torch_calls
from timing import print_rows, row, take_turns

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
) -> dict:
    """Times every T and batch size, prints a table or JSON, and draws the picture.

    Args:
        json_only: print one JSON object.
        passes: the T to time.
        batches: the batch sizes.
        rounds: turns of every variant.
        seconds: of a turn, which has three calls at least.
        peers: time PyTorch too, and the two libraries, where they are installed.
        output: where the picture goes.
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
                found = row(f"{name}, batch {batch}, T {t}", times, images=batch, own=("cnnlab", "one pass"))
                told = {"network": name, "T": t, "passes": round(times["cnnlab"] / times["one pass"], 2)}
                rows.append(found | told)
    output.mkdir(parents=True, exist_ok=True)
    _draw(rows).savefig(output / "cost.png", bbox_inches="tight")
    return print_rows(rows, as_json=json_only)


def _draw(rows: list[dict]):
    networks = list(dict.fromkeys(one["network"] for one in rows))
    figure, axes = new_figure(1, len(networks), size=(4 * len(networks), 3.4))
    for axis, network in zip(axes[0], networks, strict=True):
        mine = [one for one in rows if one["network"] == network]
        for batch, colour in zip(
            sorted({one["images"] for one in mine}), ("#0072b2", "#d55e00", "#009e73"), strict=False
        ):
            line = [one for one in mine if one["images"] == batch]
            for variant, style in STYLES.items():
                if variant in line[0]["ms"]:
                    times = [one["ms"][variant] for one in line]
                    label = f"{variant}, batch {batch}"
                    axis.loglog([one["T"] for one in line], times, style, color=colour, markersize=3, label=label)
        axis.set(title=network, xlabel="passes T", ylabel="ms")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    batches = len({one["images"] for one in rows})
    figure.legend(handles, labels, loc="outside lower center", ncols=batches, frameon=False, fontsize=7)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
