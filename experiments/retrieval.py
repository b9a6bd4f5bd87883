"""Retrieval of classes that training has not seen: an embedding by the triplet loss, a classifier's features, pixels.

    cnnlab data prepare mnist
    cnnlab data prepare fashion_mnist
    python experiments/retrieval.py [--seeds 5] [--output runs/retrieval] [--record]

LeNet5 learns from images of the classes 0 to 6 alone. Each test image of the classes 7 to 9 is then a query to all
others. The embeddings of the ranking task, with all triplets and with semi-hard ones, are compared with the penultimate
features of the same network trained as a classifier on the same images, and with the pixels, by the same similarity
(cosine). `first dense layer` stands for the features of the layer that follows the convolutions. `OUTPUT/DATA.png`
shows queries with their nearest images for the first seed.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, Examples
from cnnlab.embeddings import Space, extract
from cnnlab.files.figures import save_figures
from cnnlab.metrics.ranking import retrieval_scores, retrieve
from cnnlab.plots.neighbours import draw_neighbours

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=10, batch_size=128),
)
TASKS = {
    "classifier's features": cnnlab.Choice("classification"),
    "all triplets": cnnlab.Choice("ranking", triplets="all", images_per_class=8),
    "semi-hard triplets": cnnlab.Choice("ranking", triplets="semi_hard", images_per_class=8),
}
NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "digits": "digits"}
UNSEEN = 7  # the first class that training does not see
QUERIES, SHOWN = 9, 6


def seen_and_unseen(dataset: Dataset, number: int, seed: int) -> Dataset:
    """Returns random training images of the seen classes, a validation of other images of them, and the unseen test.

    Args:
      dataset: dataset with the column `label`.
      number: number of training images; the validation has a tenth of it.
      seed: seed of the choice.
    """
    rng = np.random.default_rng(seed)

    def chosen(split: str, most: int, *, seen: bool) -> Examples:
        places = np.flatnonzero((dataset[split].column("label") < UNSEEN) == seen)
        return Examples(dataset[split][np.sort(rng.permutation(places)[:most])])

    splits = {
        "train": chosen("train", number, seen=True),
        "validation": chosen("validation", number // 10, seen=True),
        "test": chosen("test", len(dataset["test"]), seen=False),
    }
    return Dataset(f"{dataset.name}, classes 0 to {UNSEEN - 1}", dataset.spec, splits)


def main(
    data: tuple[str, ...] = ("mnist", "fashion_mnist"),
    seeds: int = 5,
    output: Path = Path("runs/retrieval"),
    number: int = 5_000,
    epochs: int | None = None,
    recording: Options = OFF,
) -> dict[tuple[str, str], Table]:
    """Trains the networks for each seed and prints recall and mean average precision on the unseen classes.

    Args:
        data: names of the datasets.
        seeds: number of seeds of images, initialisation and order.
        output: folder of the run directories and figures.
        number: number of training images.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    tables = {}
    for name in data:
        whole = cnnlab.data.load_data(name)
        rows: dict[str, list[dict[str, float]]] = {}
        for seed in range(seeds):
            dataset = seen_and_unseen(whole, number, seed)
            spaces = features(dataset, output / name / f"seed{seed}", seed=seed, epochs=epochs)
            for space, vectors in spaces.items():
                scores = retrieval_scores(retrieve(vectors, dataset["test"].column("label")))
                rows.setdefault(space, []).append(scores)
                print(f"{name}, seed {seed}, {space}: {scores}", flush=True)
            if seed == 0:
                shown = {space: spaces[space] for space in (*TASKS, "pixels")}
                save_figures({name: draw(dataset["test"], shown)}, output)
                print(output / f"{name}.png")
        for space, own in rows.items():
            tables[name, space] = {metric: np.array([row[metric] for row in own]) for metric in own[0]}
            show(f"{NAMES[name]}, unseen classes, {space}", tables[name, space], recording, group="features")
    return tables


def features(dataset: Dataset, runs: Path, *, seed: int, epochs: int | None) -> dict[str, np.ndarray]:
    """Trains a network for each task, and returns the test images' features by name, `[n, D]`."""
    spaces = {}
    training = EXPERIMENT.training if epochs is None else dataclasses.replace(EXPERIMENT.training, epochs=epochs)
    for name, task in TASKS.items():
        experiment = dataclasses.replace(EXPERIMENT, task=task, seed=seed, training=training)
        trained = cnnlab.train(experiment, runs / name.replace(" ", "_").replace("'", ""), data=dataset, quiet=True)
        spaces[name] = extract(trained, dataset["test"])
        spaces[f"{name}, first dense layer"] = extract(trained, dataset["test"], layer="dense1")
    return spaces | {"pixels": extract(trained, dataset["test"], layer="pixels")}


def draw(examples: Examples, spaces: Mapping[str, np.ndarray]):
    """Draws three queries of each unseen class with their nearest images in each space."""
    label, images = examples.column("label"), examples.column("image")
    queries = np.concatenate([np.flatnonzero(label == k)[: QUERIES // 3] for k in np.unique(label)])
    near = {}
    for name, vectors in spaces.items():
        space = Space(vectors)
        near[name] = images[np.stack([space.nearest(int(i), SHOWN).index for i in queries])]
    return draw_neighbours(images[queries], near)


if __name__ == "__main__":
    tyro.cli(main)
