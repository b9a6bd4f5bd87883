"""MNIST by LeNet5, without and with augmentation.

    cnnlab data prepare mnist
    python experiments/mnist_lenet5.py [--augmented] [--seeds 3] [--runs runs/mnist_lenet5] [--record]

The goal is a test accuracy of 99.21 % or more without augmentation (the lecture's figure) and of 99.5 % or more with
it.

Both networks reach it. `mnist_mc_dropout.py` measures the same runs in more detail.
"""

import dataclasses
from pathlib import Path

import tyro
from results import OFF, Options
from study import Table, over_seeds, show

import cnnlab

PLAIN = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5", dropout=0.3, spatial_dropout=0.05),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(epochs=30, batch_size=128, ema=0.999),
)
AUGMENTED = dataclasses.replace(
    PLAIN,
    model=cnnlab.Choice("lenet5", dropout=0.1),
    training=dataclasses.replace(
        PLAIN.training, epochs=60, augmentation=cnnlab.data.Augmentation(shift=0.07, rotation=10, zoom=0.1)
    ),
)


def main(
    augmented: bool = False,
    seeds: int = 3,
    runs: Path = Path("runs/mnist_lenet5"),
    epochs: int | None = None,
    recording: Options = OFF,
) -> Table:
    """Trains one network for each seed and prints every metric.

    Args:
        augmented: train with small shifts, rotations and zooms.
        seeds: number of seeds of initialisation, order, augmentation and dropout.
        runs: folder of the run directories.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    name = "augmented" if augmented else "plain"
    table = over_seeds(AUGMENTED if augmented else PLAIN, runs / name, seeds=seeds, epochs=epochs)
    show(f"MNIST, LeNet5, {name}", table, recording, group="classification")
    return table


if __name__ == "__main__":
    tyro.cli(main)
