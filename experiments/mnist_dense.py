"""MNIST by a dense network on flattened pixels: the baseline without convolution.

    cnnlab data prepare mnist
    python experiments/mnist_dense.py [--seeds 3] [--runs runs/mnist_dense] [--record]

The goal is a test accuracy of 96 % or more. The network reaches it, but stays below the convolutional ones.
"""

import tyro
from study import study

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("dense", features=(128,), dropout=0.2),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(schedule="cosine"),
    training=cnnlab.Training(epochs=15, batch_size=128),
)

main = study("MNIST, dense", EXPERIMENT, runs="runs/mnist_dense")


if __name__ == "__main__":
    tyro.cli(main)
