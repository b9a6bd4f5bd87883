"""Fashion-MNIST by LeNet5 with dropout, plain and augmented, and by a wider network beside it.

    cnnlab data prepare fashion_mnist
    python experiments/fashion_mc_dropout.py [--seeds 5] [--runs runs/fashion_mc_dropout]

Expected: what ensembles of 10 reach (accuracy 93.2 %, NLL .200, ECE .010), by one network. LeNet5's 61,706 parameters
are too few for that; the wider one is that of fashion_small.py.
Measured on two cores of an AMD EPYC: not run yet.
"""

import dataclasses

import mnist_lenet5
import tyro
from fashion_small import EXPERIMENT as WIDER
from study import mc_study

import cnnlab

PLAIN = dataclasses.replace(mnist_lenet5.PLAIN, data=cnnlab.Choice("fashion_mnist"))
AUGMENTED = dataclasses.replace(
    PLAIN,
    model=mnist_lenet5.AUGMENTED.model,
    training=dataclasses.replace(
        PLAIN.training, epochs=40, augmentation=cnnlab.data.Augmentation(horizontal_flip=0.5, shift=0.05, zoom=0.05)
    ),
)

main = mc_study(
    "Fashion-MNIST",
    {"LeNet5 plain": PLAIN, "LeNet5 augmented": AUGMENTED, "wider": WIDER},
    runs="runs/fashion_mc_dropout",
)


if __name__ == "__main__":
    tyro.cli(main)
