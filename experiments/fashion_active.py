"""Which labels to buy: accuracy on Fashion-MNIST against the number of labels, chosen by a network or at random.

    cnnlab data prepare fashion_mnist
    python experiments/fashion_active.py [--seeds 5] [--output runs/fashion_active] [--record]

A pool of 10,000 training images has no labels at first. LeNet5 with dropout learns from 100 random ones. It then
chooses more, by `cnnlab.labelling.label_next` over 50 MC-Dropout passes, and a new network learns from all labels so
far, in the same number of steps. Nothing is selected by a validation split, whose labels would count too. The accuracy
is that of one pass on the whole test split. The random choice is an arm of its own with the same first 100 images.
`OUTPUT/active.png` shows the mean and the standard deviation over the seeds.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, normalise
from cnnlab.labelling import label_next
from cnnlab.models import create_model
from cnnlab.plots.canvas import new_figure
from cnnlab.runtime.compile_cache import keep_compilations
from cnnlab.tasks import Classification
from cnnlab.training.optimizer import create_optimizer
from cnnlab.training.restore import evaluated_variables
from cnnlab.training.step import create_state, train_step

LABELS = (100, 200, 500, 1000, 2000)
CHOICES = ("random", "mutual_information", "batch_bald", "margin", "diverse")
BATCH = 64
COLOURS = ("#666666", "#0072b2", "#56b4e9", "#d55e00", "#009e73")

Learn = Callable[[np.ndarray, np.ndarray, int], cnnlab.Trained]


def make_learner(dataset: Dataset, steps: int) -> Learn:
    """Returns a function from images, labels and a seed to a network that has learnt from them; it compiles once."""
    network, task, spec = create_model("lenet5", num_classes=10, dropout=0.5), Classification(), dataset.spec
    settings = cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.01)
    optimizer = create_optimizer(settings, steps)

    def prepare(batch, key):
        return dict(batch) | {"image": normalise(batch["image"], spec)}

    parts = {"network": network, "task": task, "optimizer": optimizer, "prepare": prepare}
    step = cnnlab.jit(lambda state, batch, key: train_step(state, batch, key=key, **parts), donate_argnums=0)

    def learn(images: np.ndarray, label: np.ndarray, seed: int) -> cnnlab.Trained:
        rng, key = np.random.default_rng(seed), jax.random.key(seed)
        rounds = (rng.permutation(len(label)) for _ in itertools.count())
        order = itertools.chain.from_iterable(rounds)
        state = create_state(network, optimizer, images[:1], key)
        for _ in range(steps):
            chosen = np.fromiter(order, int, BATCH)
            state, _ = step(state, {"image": images[chosen], "label": label[chosen]}, key)
        return cnnlab.Trained(evaluated_variables(state), network, task, spec)

    return learn


def choose(
    trained: cnnlab.Trained, images: np.ndarray, known: np.ndarray, count: int, by: str, seed: int
) -> np.ndarray:
    """Returns the numbers of the images to label next, of those that have no label yet."""
    left = np.setdiff1d(np.arange(len(images)), known)
    if by == "random":
        return np.random.default_rng((seed, len(known))).choice(left, count, replace=False)
    options = {"labelled": images[known]} if by == "diverse" else {"mc_samples": 50}
    found = label_next(trained, images[left], count=count, by=by, seed=seed, batch_size=256, **options)
    return left[found.table["index"]]


def curves_of_seed(
    learn: Learn, dataset: Dataset, choices: tuple[str, ...], seed: int, *, pool: int, labels: tuple[int, ...]
) -> dict[str, list[float]]:
    """Returns the test accuracy of each choice after each purchase of labels; all begin with the same network."""
    rng = np.random.default_rng(seed)
    train = dataset["train"]
    drawn = np.sort(rng.choice(len(train), pool, replace=False))
    images, truth = train.column("image")[drawn], train.column("label")[drawn]
    begin = rng.choice(pool, labels[0], replace=False)
    first = learn(images[begin], truth[begin], seed)
    start = cnnlab.evaluate(first, dataset, batch_size=500)["accuracy"]
    curves = {}
    for by in choices:
        known, trained, curves[by] = begin, first, [start]
        for number in labels[1:]:
            bought = choose(trained, images, known, number - len(known), by, seed)
            known = np.concatenate([known, bought])
            trained = learn(images[known], truth[known], seed)
            curves[by].append(cnnlab.evaluate(trained, dataset, batch_size=500)["accuracy"])
        print(f"seed {seed}  {by:20}" + "".join(f"{100 * each:8.2f}" for each in curves[by]), flush=True)
    return curves


def labels_for(accuracy: float, labels: tuple[int, ...], curve: np.ndarray) -> float:
    """Returns the number of labels at which a curve first reaches an accuracy, interpolated; NaN if it does not.

    >>> labels_for(0.7, (100, 200, 400), np.array([0.6, 0.8, 0.9]))
    150.0
    """
    reached = np.flatnonzero(curve >= accuracy)
    if not len(reached):
        return float("nan")
    i = int(reached[0])
    return float(labels[i]) if i == 0 else float(np.interp(accuracy, curve[i - 1 : i + 1], labels[i - 1 : i + 1]))


def draw(curves: dict[str, np.ndarray], labels: tuple[int, ...]):
    """Draws mean ± standard deviation of each choice against the number of labels, and the gain over random."""
    figure, axes = new_figure(1, 2, size=(9, 3.6))
    for axis, base, name in zip(axes[0], (0, curves["random"]), ("accuracy", "gain over random"), strict=True):
        for colour, (by, values) in zip(COLOURS, curves.items(), strict=False):
            part = 100 * (values - base)
            mean, spread = part.mean(0), part.std(0, ddof=1) if len(part) > 1 else 0 * part[0]
            axis.plot(labels, mean, "o-", color=colour, markersize=3.5, label=by.replace("_", " "))
            axis.fill_between(labels, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
        axis.set(
            xlabel="labels", ylabel=f"test {name} (%)" if name == "accuracy" else f"{name} (points)", xlim=(0, None)
        )
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


def main(
    seeds: int = 5,
    output: Path = Path("runs/fashion_active"),
    pool: int = 10_000,
    labels: tuple[int, ...] = LABELS,
    steps: int = 500,
    choices: tuple[str, ...] = CHOICES,
    data: str = "fashion_mnist",
    recording: Options = OFF,
) -> dict[str, Table]:
    """Trains networks on a growing number of labels, prints their accuracy and draws it.

    Args:
        seeds: number of seeds of pool, first labels, initialisation, order and dropout.
        output: directory of the figure.
        pool: number of images without labels.
        labels: numbers of labels; the first ones are random.
        steps: training steps of each network.
        choices: ways to choose; `random` is what the others are compared with.
        data: name of the dataset.
        recording: whether the results are stored.
    """
    keep_compilations()
    dataset = cnnlab.data.load_data(data)
    learn = make_learner(dataset, steps)
    each = [curves_of_seed(learn, dataset, choices, seed, pool=pool, labels=labels) for seed in range(seeds)]
    curves = {by: np.array([one[by] for one in each]) for by in choices}
    tables = {}
    for by, values in curves.items():
        table = {f"accuracy, {number:,} labels": values[:, i] for i, number in enumerate(labels)}
        if by != "random":
            goal = curves["random"][:, -1]
            needed = [labels_for(a, labels, each) for a, each in zip(goal, values, strict=True)]
            table[f"labels for the accuracy of {labels[-1]:,} random ones"] = np.array(needed)
        tables[by] = table
        show(f"Fashion-MNIST, labels by {by.replace('_', ' ')}", table, recording, group="labelling")
    output.mkdir(parents=True, exist_ok=True)
    draw(curves, labels).savefig(output / "active.png", dpi=110)
    print(output / "active.png")
    return tables


if __name__ == "__main__":
    tyro.cli(main)
