"""LeNet5 on the 1,797 embedded digits: what `cnnlab train` without arguments reaches, over several seeds.

    python experiments/digits_lenet5.py [--seeds 5] [--splits] [--runs runs/digits_lenet5] [--record]

The goal is a test accuracy of 98.5 % or more. The test split has 359 images, so the accuracy of a single run is
uncertain by more than its spread over seeds shows; `--splits` draws another split for each seed.

LeNet5 reaches the goal on the fixed split and on the others.
"""

import dataclasses
from pathlib import Path

import tyro
from results import OFF, Options
from study import Table, over_seeds, show

import cnnlab


def another_split(experiment: cnnlab.Experiment, seed: int) -> cnnlab.Experiment:
    """Returns the experiment with another split for each seed, never the fixed one."""
    return dataclasses.replace(experiment, data=experiment.data.replace(seed=seed + 1))


def main(
    seeds: int = 5,
    splits: bool = False,
    runs: Path = Path("runs/digits_lenet5"),
    epochs: int | None = None,
    recording: Options = OFF,
) -> Table:
    """Trains one network for each seed and prints every metric, in one pass and over 50.

    Args:
        seeds: number of seeds of initialisation, order, augmentation and dropout.
        splits: draw another split for each seed too.
        runs: folder of the run directories.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    experiment = cnnlab.presets.get("digits-lenet5")
    if splits:
        table = over_seeds(experiment, runs / "splits", seeds=seeds, epochs=epochs, vary=another_split)
    else:
        table = over_seeds(experiment, runs / "fixed", seeds=seeds, epochs=epochs)
    title = "digits, other splits" if splits else "digits, the fixed split"
    show(title, table, recording, group="classification")
    return table


if __name__ == "__main__":
    tyro.cli(main)
