"""Labels that were flipped on purpose: how many of them are found, and how many of the found ones were flipped.

    cnnlab data prepare fashion_mnist
    python experiments/label_errors.py [--seeds 3] [--output runs/label_errors] [--record]

Of 6,000 training images of Fashion-MNIST, 5 % get another label at random. LeNet5 is trained on four folds
(`cnnlab.labelling.cross_validated`), and confident learning compares the labels with the probabilities of the fold left
out. Precision and recall count flipped labels. A label that is found and was not flipped counts as a false alarm,
although it may be an error of Fashion-MNIST's own. `precision, first` is that of as many labels as were flipped, from
the top of the list.
`OUTPUT/found.png` shows the surest ones that were not flipped.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, Examples
from cnnlab.labelling import confident_errors, cross_validated
from cnnlab.plots.gallery import gallery

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5", dropout=0.3),
    data=cnnlab.Choice("fashion_mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=20, batch_size=64, augmentation=cnnlab.data.Augmentation(horizontal_flip=0.5)),
)
SHOWN = 20


def flipped(label: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Returns labels of which a share has been replaced by another class, uniformly."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(label), round(share * len(label)), replace=False)
    out = label.copy()
    out[chosen] = (label[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return out


def main(
    seeds: int = 3,
    output: Path = Path("runs/label_errors"),
    number: int = 6000,
    share: float = 0.05,
    folds: int = 4,
    epochs: int | None = None,
    data: str = "fashion_mnist",
    recording: Options = OFF,
) -> Table:
    """Flips labels, looks for them and prints precision and recall.

    Args:
        seeds: number of seeds of images, flips, folds, initialisation and order.
        output: directory of the figure.
        number: number of images.
        share: share of the labels that are flipped.
        folds: number of folds.
        epochs: smaller number of epochs, for a test.
        data: name of the dataset.
        recording: whether the results are stored.
    """
    dataset, rows = cnnlab.data.load_data(data), []
    training = EXPERIMENT.training if epochs is None else dataclasses.replace(EXPERIMENT.training, epochs=epochs)
    train = dataset["train"]
    for seed in range(seeds):
        drawn = np.random.default_rng(seed).choice(len(train), number, replace=False)
        images, truth = train.column("image")[drawn], train.column("label")[drawn]
        given = flipped(truth, share, len(dataset.spec.classes), seed)
        splits = {"train": Examples({"image": images, "label": given}), "validation": dataset["validation"]}
        experiment = dataclasses.replace(EXPERIMENT, seed=seed, training=training)
        noisy = Dataset(dataset.name, dataset.spec, splits)
        probs = cross_validated(experiment, noisy, folds=folds, quiet=True)
        found = confident_errors(probs, given)
        wrong, right = given != truth, truth[found.index] == given[found.index]
        first = found.index[: wrong.sum()]
        rows.append(
            {
                "found": len(found.index),
                "precision": float(wrong[found.index].mean()),
                "recall": float(wrong[found.index].sum() / wrong.sum()),
                "precision, first": float(wrong[first].mean()),
                "suggested class right": float((found.suggested == truth[found.index])[~right].mean()),
                "accuracy out of sample": float((probs.argmax(1) == truth).mean()),
            }
        )
        print(f"seed {seed}: {rows[-1]}", flush=True)
        if seed == 0:
            own = np.flatnonzero(right)[:SHOWN]
            names = dataset.spec.classes
            titles = [f"{names[given[found.index[i]]]}\nsuggested {names[found.suggested[i]]}" for i in own]
            output.mkdir(parents=True, exist_ok=True)
            title = f"labels of {dataset.name} in doubt, none of them flipped"
            gallery([images[found.index[i]] for i in own], titles, title=title).savefig(output / "found.png", dpi=110)
            print(output / "found.png")
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    title = f"Fashion-MNIST, {number:,} labels, {100 * share:g} % flipped"
    show(title, table, recording, group="labelling")
    return table


if __name__ == "__main__":
    tyro.cli(main)
