"""Three kinds of dropout for images on a small training set: none, single activations, or whole feature maps.

    cnnlab data prepare fashion_mnist
    python experiments/dropout_kinds.py [--seeds 5] [--runs runs/dropout_kinds] [--record]

The lecture says that element dropout suits images badly, because neighbouring pixels carry the same information, and
that spatial dropout (Tompson et al. 2015), which drops whole maps, suits them better. The script varies the dropout
after the two convolutions of the lecture's first Keras network, at the lecture's rate of .25. The dense layer's dropout
stays. The training set has 2,000 images of Fashion-MNIST.

The three kinds do not differ by more than one standard deviation, so the claim does not show here.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, Examples, load_data

KINDS = {
    "none": {"conv_dropout": 0.0},
    "element": {"conv_dropout": 0.25},
    "spatial": {"conv_dropout": 0.25, "spatial": True},
}
TRAINING = cnnlab.Training(epochs=40, batch_size=64)


def few(dataset: Dataset, number: int) -> Dataset:
    """Returns the dataset with a random part of its training examples."""
    chosen = np.random.default_rng(0).permutation(len(dataset["train"]))[:number]
    return dataclasses.replace(dataset, splits=dict(dataset.splits) | {"train": Examples(dataset["train"][chosen])})


def main(
    seeds: int = 5,
    runs: Path = Path("runs/dropout_kinds"),
    number: int = 2000,
    epochs: int = TRAINING.epochs,
    data: str = "fashion_mnist",
    recording: Options = OFF,
) -> dict[str, Table]:
    """Trains every kind over several seeds and prints every metric.

    Args:
        seeds: number of seeds of initialisation, order and dropout. The training images stay the same.
        runs: folder of the run directories.
        number: number of training images.
        epochs: number of epochs of each training.
        data: name of the dataset.
        recording: whether the results are stored.
    """
    dataset = few(load_data(data), number)
    tables = {}
    for kind, options in KINDS.items():
        rows = []
        for seed in range(seeds):
            experiment = cnnlab.Experiment(
                model=cnnlab.Choice("keras_mnist", **options),
                training=dataclasses.replace(TRAINING, epochs=epochs),
                optimizer=cnnlab.Optimizer(schedule="cosine"),
                seed=seed,
            )
            trained = cnnlab.train(experiment, runs / kind / f"seed{seed}", data=dataset)
            rows.append(cnnlab.evaluate(trained, dataset))
        tables[kind] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        show(
            f"{data}, {number} images, dropout after convolutions: {kind}",
            tables[kind],
            recording,
            group="classification",
        )
    return tables


if __name__ == "__main__":
    tyro.cli(main)
