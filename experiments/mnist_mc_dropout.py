"""MNIST by LeNet5 with dropout: what MC-Dropout and a temperature make of accuracy, NLL and ECE.

    cnnlab data prepare mnist
    python experiments/mnist_mc_dropout.py [--seeds 5] [--runs runs/mnist_lenet5]

The runs are those of mnist_lenet5.py, plain and augmented, and are shared with it.
Expected: what ensembles of 10 reach (accuracy 99.4 %, NLL .016, ECE .005), by one network.
Measured on one core of an AMD EPYC, 2026-11-21, mean ± standard deviation of 5 seeds, in one pass and over 50:

                        plain                             augmented
    accuracy            .9921 ± .0004, .9921 ± .0004      .9950 ± .0001, .9951 ± .0002
    NLL                 .0265 ± .0010, .0271 ± .0017      .0155 ± .0007, .0150 ± .0008
    NLL, temperature    .0253 ± .0010, .0245 ± .0010      .0153 ± .0006, .0151 ± .0008
    ECE                 .0035 ± .0006, .0057 ± .0011      .0020 ± .0002, .0012 ± .0002
    ECE, temperature    .0020 ± .0005, .0021 ± .0005      .0016 ± .0003, .0017 ± .0004
    ECE's noise floor   .0020 ± .0001, .0019 ± .0001      .0015 ± .0001, .0016 ± .0001

Augmented, one network reaches what ten do. Plain it does not: the passes make up for no augmentation, and without a
temperature they doubt too much (dropout .3 and of maps .05; augmented .1 and none).
"""

import tyro
from mnist_lenet5 import AUGMENTED, PLAIN
from study import mc_study

main = mc_study("MNIST, LeNet5", {"plain": PLAIN, "augmented": AUGMENTED}, runs="runs/mnist_lenet5")


if __name__ == "__main__":
    tyro.cli(main)
