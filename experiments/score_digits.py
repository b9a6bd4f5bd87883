"""A score from pairs: a network that learns only which of two digits is the larger one.

    cnnlab data prepare mnist
    python experiments/score_digits.py [--seeds 3] [--runs runs/score_digits] [--record]

LeNet5 learns from 500 or 5,000 pairs of MNIST's digits, each image in one pair, which digit is larger; it sees no
values. In one case a fifth of the pairs, also of the validation, is turned round, as by careless annotators. For
comparison a regression learns the values of the same images. The test asks whether the scores of two test digits are in
the order of their values, for all pairs of different values.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, Examples
from cnnlab.metrics.pairwise import kendall_tau

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5", dropout=0.3),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine"),
    training=cnnlab.Training(batch_size=64),
)
STEPS = 2000  # as many for each number of pairs
CASES = {
    "pairs": (cnnlab.Choice("scoring"), 0.0),
    "pairs, a fifth turned round": (cnnlab.Choice("scoring"), 0.2),
    "values of the same digits": (cnnlab.Choice("regression"), 0.0),
}
"""The task of each case, and the share of the pairs that are turned round."""


def draw_pairs(examples: Examples, number: int, turned: float, rng: np.random.Generator) -> Examples:
    """Draws pairs of images whose digits differ, each image in one pair, the larger digit above.

    Args:
      examples: examples with the column `label`.
      number: number of pairs.
      turned: share of the pairs that are turned round.
      rng: generator of the choice.
    """
    label = examples.column("label")
    pairs = rng.permutation(len(label))[: len(label) // 2 * 2].reshape(-1, 2)
    pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]][:number]
    above = (label[pairs] > label[pairs[:, ::-1]]) ^ (np.arange(len(pairs)) < turned * len(pairs))[:, None]
    place = pairs.reshape(-1)
    columns = {"image": examples[place]["image"], "target": label[place, None].astype(np.float32)}
    columns |= {"pair": np.repeat(np.arange(len(pairs)), 2).astype(np.int32)}
    return Examples(columns | {"above": above.reshape(-1).astype(np.int32)})


def accuracy(score: np.ndarray, value: np.ndarray) -> float:
    """Computes the share of all pairs of different values `[n]` whose scores `[n]` are in order; ties are one half."""
    right, total = 0.0, 0
    for low in np.unique(value):
        below, above = np.sort(score[value == low]), score[value > low]
        right += sum(np.searchsorted(below, above, side).sum() for side in ("left", "right")) / 2
        total += len(below) * len(above)
    return float(right / total)


def main(
    seeds: int = 3,
    runs: Path = Path("runs/score_digits"),
    numbers: tuple[int, ...] = (500, 5_000),
    steps: int = STEPS,
    data: str = "mnist",
    recording: Options = OFF,
) -> dict[tuple[int, str], Table]:
    """Trains the networks for each seed, and prints how well their scores order the test digits.

    Args:
      seeds: number of seeds of pairs, initialisation and order.
      runs: folder of the run directories.
      numbers: numbers of training pairs; the validation has a tenth of them.
      steps: number of training steps.
      data: name of the dataset.
      recording: whether the results are stored.
    """
    whole, tables = cnnlab.data.load_data(data), {}
    test = whole["test"]
    for number in numbers:
        for case, (task, turned) in CASES.items():
            scores = []
            for seed in range(seeds):
                splits = {
                    split: draw_pairs(whole[split], n, turned, np.random.default_rng((seed, part)))
                    for part, (split, n) in enumerate({"train": number, "validation": number // 10}.items())
                }
                spec = dataclasses.replace(whole.spec, classes=("score",))
                dataset = Dataset(f"{data}, {number:,} pairs", spec, splits)
                epochs = max(1, steps * EXPERIMENT.training.batch_size // len(dataset["train"]))
                training = dataclasses.replace(EXPERIMENT.training, epochs=epochs)
                experiment = dataclasses.replace(EXPERIMENT, task=task, seed=seed, training=training)
                run = runs / f"{number}" / case.replace(" ", "_").replace(",", "") / f"seed{seed}"
                trained = cnnlab.train(experiment, run, data=dataset, quiet=True)
                scores.append(accuracy(predict(trained, test.column("image")), test.column("label")))
                print(f"{number:,} {case}, seed {seed}: {scores[-1]:.4f}", flush=True)
            scores = np.array(scores)
            tables[number, case] = {"pairwise_accuracy": scores, "kendall_tau": kendall_tau(scores)}
            title = f"which digit is larger, {number:,} {case}"
            if case.startswith("values"):
                title = f"which digit is larger, {2 * number:,} digits with their values"
            show(title, tables[number, case], recording, group="regression")
    return tables


def predict(trained: cnnlab.Trained, images: np.ndarray, portion: int = 1000) -> np.ndarray:
    """Returns the score, or the value, of each image, `[n]`."""
    parts = [cnnlab.predict(trained, images[i : i + portion]) for i in range(0, len(images), portion)]
    return np.concatenate([np.asarray(part.get("score", part.get("value"))).reshape(-1) for part in parts])


if __name__ == "__main__":
    tyro.cli(main)
