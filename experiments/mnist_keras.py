"""MNIST by the lecture's first Keras network, with its dropout of .25 and .5.

    cnnlab data prepare mnist
    python experiments/mnist_keras.py [--seeds 3] [--runs runs/mnist_keras]

Expected: a test accuracy of 99.2 % or more; Keras's own example (Adadelta, 12 epochs) tells 99.25 %.
Measured on one core of an AMD EPYC, 2026-11-21, 5 epochs, mean ± standard deviation of 3 seeds: .9897 ± .0009 (not
reached; Keras trains 12 epochs), NLL .0297 ± .0022, ECE .0029 ± .0007 (noise floor .0019); over 50 passes .9900 ±
.0007, NLL .0399 ± .0044, ECE .0140 ± .0024: with a dropout of .5 the mean of the passes doubts too much.
"""

import tyro
from study import study

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("keras_mnist"),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", schedule="cosine"),
    training=cnnlab.Training(epochs=5, batch_size=128),
)

main = study("MNIST, Keras network", EXPERIMENT, runs="runs/mnist_keras")


if __name__ == "__main__":
    tyro.cli(main)
