"""MNIST by as few parameters as possible: 1,788 in four convolutions with batch norm, and one dense layer.

    cnnlab data prepare mnist
    python experiments/mnist_tiny.py [--seeds 3] [--runs runs/mnist_tiny]

Expected: a test accuracy of 99.1 % or more with fewer than 1,936 parameters, the fewest known to reach it.
Measured on two cores of an AMD EPYC: not run yet.
"""

import tyro
from study import study

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("convnet", stages=((6,), (8, 8), (8,))),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=1e-2, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(
        epochs=60,
        batch_size=128,
        ema=0.999,
        augmentation=cnnlab.data.Augmentation(shift=0.07, rotation=10, zoom=0.1),
    ),
)

main = study("MNIST, 1,788 parameters", EXPERIMENT, runs="runs/mnist_tiny")


if __name__ == "__main__":
    tyro.cli(main)
