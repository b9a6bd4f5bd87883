"""Numbers of 1 to 10 digits on strips that are drawn from MNIST: training strips from its training digits, test
strips from its test digits.

    cnnlab data prepare mnist
    python experiments/mnist_strings.py [--seeds 1] [--runs runs/mnist_strings] [--record]

The goals on the test strips are 98 % or more exact strings, a character error rate of .5 % or less, and 99.5 % or more
exact among the 90 % of the strings with the highest confidence.

The reader misses all three goals on these strips. It comes near them on milder ones, so touching and small digits cost
more than the reading of the string.

`mild` are strips of the same test digits that are easier than those of the training: digits do not touch, are 90 % or
more of a scan's height, and have half the slant and the noise.
"""

from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, over_seeds, show

import cnnlab
from cnnlab.data.dataset import Dataset

READER = cnnlab.Experiment(
    model=cnnlab.Choice("reader"),
    data=cnnlab.Choice("strips", scans="mnist"),
    task=cnnlab.Choice("sequence"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", weight_decay=0.01),
    training=cnnlab.Training(epochs=22, batch_size=64, ema=0.999),
)
MILD = {"gaps": (1.0, 8.0), "scales": (0.9, 1.0), "slant": 0.1, "noise": 0.05}
SCORES = ("exact", "cer", "risk_at_90", "ece", "ece_floor")


def main(
    seeds: int = 1, runs: Path = Path("runs/mnist_strings"), epochs: int | None = None, recording: Options = OFF
) -> Table:
    """Trains one reader for each seed and prints its scores, in one pass and over 50, and on milder strips.

    Args:
        seeds: number of seeds of initialisation, strips and dropout.
        runs: folder of the run directories.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    every = over_seeds(READER, runs, seeds=seeds, epochs=epochs)
    table = {f"{prefix}{score}": every[f"{prefix}{score}"] for prefix in ("", "MC ") for score in SCORES}
    mild = [scores_of_mild(runs / f"seed{seed}") for seed in range(seeds)]
    table |= {f"mild {score}": np.array([each[score] for each in mild]) for score in SCORES}
    for prefix in ("", "MC ", "mild "):
        table[f"{prefix}exact at 90 % coverage"] = 1 - table.pop(f"{prefix}risk_at_90")
    show("MNIST strings, reader", table, recording, group="strings")
    return table


def scores_of_mild(run: Path) -> dict[str, float]:
    """Returns the scores of a run on milder strips."""
    trained = cnnlab.load(run)
    strips = cnnlab.data.load_data(**(READER.data.options | MILD | {"name": READER.data.name}))
    return cnnlab.evaluate(trained, Dataset("mild strips", trained.spec, strips.splits))


if __name__ == "__main__":
    tyro.cli(main)
