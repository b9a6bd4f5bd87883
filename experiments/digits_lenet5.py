"""LeNet5 on the 1,797 embedded digits: what `cnnlab train` without arguments reaches, over seeds.

    python experiments/digits_lenet5.py [--seeds 5] [--splits] [--runs runs/digits_lenet5]

Expected: a test accuracy of 98.5 % or more; one standard error of a single run's accuracy is 0.6 points (359 images).
Measured on two cores of an AMD EPYC, 2026-11-21, mean ± standard deviation of 5 seeds, 10 s a
seed: accuracy .9994 ± .0012 on the fixed split, .9939 ± .0046 with --splits; ECE .0008 ± .0008 (noise floor .0013) and
.0060 ± .0024 (.0051); over 50 passes accuracy .9994 ± .0012 and .9939 ± .0046.
"""

import dataclasses
from pathlib import Path

import tyro
from study import Table, over_seeds, show

import cnnlab


def another_split(experiment: cnnlab.Experiment, seed: int) -> cnnlab.Experiment:
    """The experiment on a split of its own, never the fixed one."""
    return dataclasses.replace(experiment, data=experiment.data.replace(seed=seed + 1))


def main(
    seeds: int = 5, splits: bool = False, runs: Path = Path("runs/digits_lenet5"), epochs: int | None = None
) -> Table:
    """Trains once a seed and prints every metric, in one pass and over 50.

    Args:
        seeds: of initialisation, order, augmentation and dropout; the split is the same.
        splits: draw another split for every seed too.
        runs: where the run directories go.
        epochs: fewer, for a test; the preset's if left out.
    """
    experiment = cnnlab.presets.get("digits-lenet5")
    if splits:
        table = over_seeds(experiment, runs / "splits", seeds=seeds, epochs=epochs, vary=another_split)
    else:
        table = over_seeds(experiment, runs / "fixed", seeds=seeds, epochs=epochs)
    show("digits, other splits" if splits else "digits, the fixed split", table)
    return table


if __name__ == "__main__":
    tyro.cli(main)
