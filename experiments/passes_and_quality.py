"""NLL and ECE of a run against the number of MC-Dropout passes T, beside one pass with dropout off.

    python experiments/passes_and_quality.py RUN... [--output runs/passes_and_quality] [--record]

RUN is any finished classification run with dropout. Of several runs (seeds of one experiment), mean and spread are
printed.

For LeNet5 on MNIST half of what many passes gain over a single one is there at two passes, and nearly all at twenty.
Here they end where one pass without dropout begins.
"""

from pathlib import Path

import jax
import numpy as np
import tyro
from results import OFF, Options

import cnnlab
from cnnlab.data import Examples, evaluation_batches
from cnnlab.metrics.calibration.errors import ece_floor, expected_calibration_error
from cnnlab.metrics.classification import accuracy, negative_log_likelihood
from cnnlab.plots.canvas import new_figure
from cnnlab.training.restore import load_data

PASSES = (1, 2, 5, 10, 20, 50, 100)
COLUMNS = ("accuracy", "nll", "ece", "ece_floor")


def scores(probs: np.ndarray, label: np.ndarray) -> list[float]:
    """Returns one number for each column."""
    confidence, correct = probs.max(-1), probs.argmax(-1) == label
    ece = expected_calibration_error(confidence, correct), ece_floor(confidence)
    return [accuracy(probs, label), negative_log_likelihood(probs, label), *ece]


def by_passes(trained: cnnlab.Trained, examples: Examples, passes: tuple[int, ...]) -> dict[int, list[float]]:
    """Computes the scores of the mean over the first T passes for each T; 0 is one pass with dropout off."""
    means: dict[int, list[np.ndarray]] = {t: [] for t in (0, *passes)}
    for number, batch in enumerate(evaluation_batches(examples, batch_size=500)):
        real = batch["weight"] > 0
        key = jax.random.fold_in(jax.random.key(0), number)
        drawn = cnnlab.mc_predict(trained, batch["image"], key=key, num_samples=max(passes), return_samples=True)
        samples = np.asarray(drawn.samples["probs"] if isinstance(drawn.samples, dict) else drawn.samples)[real]
        means[0].append(np.asarray(cnnlab.predict(trained, batch["image"]).probs)[real])
        for t in passes:
            means[t].append(samples[:, :t].mean(1))
    label = examples.column("label")
    return {t: scores(np.concatenate(parts).astype(np.float64), label) for t, parts in means.items()}


def main(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    /,
    passes: tuple[int, ...] = PASSES,
    output: Path = Path("runs/passes_and_quality"),
    title: str = "MNIST, LeNet5",
    recording: Options = OFF,
) -> dict[int, np.ndarray]:
    """Prints a line for each T and draws the figure.

    Args:
        runs: run directories of one dataset.
        passes: numbers of passes T.
        output: folder of the figure.
        title: name of network and data among the results.
        recording: whether the results are stored.
    """
    if not runs:
        raise ValueError("no RUN given; name a run directory")
    examples = load_data(runs[0])["test"]
    each = [by_passes(cnnlab.load(run), examples, passes) for run in runs]
    table = {t: np.array([scores[t] for scores in each]) for t in each[0]}  # [runs, columns]
    print("passes       " + "  ".join(f"{name.replace('_', ' '):>17}" for name in COLUMNS))
    for t, values in table.items():
        spreads = [f" ± {column.std(ddof=1):.5f}" if len(runs) > 1 else "" for column in values.T]
        cells = [f"{column.mean():.5f}{spread}" for column, spread in zip(values.T, spreads, strict=True)]
        print(f"{t or 'dropout off':<13}" + "  ".join(f"{cell:>17}" for cell in cells))
        name = f"{title}, T = {t}" if t else f"{title}, dropout off"
        recording.add(name, dict(zip(COLUMNS, values.T, strict=True)), group="uncertainty")
    output.mkdir(parents=True, exist_ok=True)
    _draw(table).savefig(output / "passes.png", bbox_inches="tight")
    print(output / "passes.png")
    return table


def _draw(table: dict[int, np.ndarray]):
    figure, axes = new_figure(1, 2, size=(9, 3.2))
    passes = [t for t in table if t]
    for axis, column in zip(axes[0], ("nll", "ece"), strict=True):
        place = COLUMNS.index(column)
        axis.semilogx(passes, [table[t][:, place].mean() for t in passes], "o-", color="#0072b2", label="MC-Dropout")
        axis.axhline(table[0][:, place].mean(), linestyle="--", color="#999999", label="one pass, dropout off")
        if column == "ece":
            floor = [table[t][:, place + 1].mean() for t in passes]
            axis.semilogx(passes, floor, ":", color="#d55e00", label="noise floor")
        axis.set(xlabel="passes T", ylabel=column.upper(), ylim=(0, None), xticks=passes, xticklabels=passes)
        axis.legend(frameon=False)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
