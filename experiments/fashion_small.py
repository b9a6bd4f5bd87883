"""Fashion-MNIST by a small network: at most 113,000 parameters, 3x3 convolutions and global average pooling.

    cnnlab data prepare fashion_mnist
    python experiments/fashion_small.py [--seeds 3] [--runs runs/fashion_small] [--record]

The goal is a test accuracy of 93.5 % or more. `flips` marks the average over each image and its mirror image.

The network reaches the goal with that average, and almost in a single pass. fashion_mc_dropout.py has a wider network
with dropout.
"""

import tyro
from study import study

import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("convnet", stages=((24,), (48, 48), (72, 72))),
    data=cnnlab.Choice("fashion_mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=5e-3, schedule="cosine", weight_decay=0.05),
    training=cnnlab.Training(
        epochs=40,
        batch_size=128,
        ema=0.999,
        monitor="accuracy",
        augmentation=cnnlab.data.Augmentation(horizontal_flip=0.5, shift=0.07, zoom=0.1),
    ),
)

main = study("Fashion-MNIST, small network", EXPERIMENT, runs="runs/fashion_small", views="flips")


if __name__ == "__main__":
    tyro.cli(main)
