"""MNIST by few parameters: 1,900 in separable convolutions and a weighted mean over positions.

    cnnlab data prepare mnist
    python experiments/mnist_tiny.py [--seeds 3] [--runs runs/mnist_tiny] [--record]

The goal is a test accuracy of 99.1 % or more with fewer than 1,936 parameters, the smallest number known to reach it.

The network reaches the goal. A plain mean over positions, or a weight for each position, does worse on validation.
"""

import tyro
from study import study

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("separable"),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=1e-2, schedule="cosine"),
    training=cnnlab.Training(
        epochs=40,
        batch_size=128,
        ema=0.999,
        augmentation=cnnlab.data.Augmentation(shift=0.05, rotation=8, zoom=0.08),
    ),
)

main = study("MNIST, 1,900 parameters", EXPERIMENT, runs="runs/mnist_tiny")


if __name__ == "__main__":
    tyro.cli(main)
