"""MNIST by a dense network on flattened pixels: the naive approach that convolution is measured against.

    cnnlab data prepare mnist
    python experiments/mnist_dense.py [--seeds 3] [--runs runs/mnist_dense]

Expected: a test accuracy of 96 % or more.
Measured on two cores of an AMD EPYC, 2026-11-21, mean ± standard deviation of 3 seeds, 10 s a seed: accuracy .9813 ±
.0007, NLL .0641 ± .0011, ECE .0039 ± .0003 (noise floor .0027).
"""

from pathlib import Path

import tyro
from study import Table, over_seeds, show

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("dense", features=(128,), dropout=0.2),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(schedule="cosine"),
    training=cnnlab.Training(epochs=15, batch_size=128),
)


def main(seeds: int = 3, runs: Path = Path("runs/mnist_dense"), epochs: int | None = None) -> Table:
    """Trains once a seed and prints every metric.

    Args:
        seeds: of initialisation, order and dropout.
        runs: where the run directories go.
        epochs: fewer, for a test.
    """
    table = over_seeds(EXPERIMENT, runs, seeds=seeds, epochs=epochs)
    show("MNIST, dense", table)
    return table


if __name__ == "__main__":
    tyro.cli(main)
