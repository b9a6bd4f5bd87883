"""Confidence, entropy and mutual information of a network on digits that are turned by growing angles.

    python experiments/rotated_digits.py RUN... [--angles 19] [--samples 50] [--output runs/rotated_digits] [--record]

RUN is any finished classification run with dropout. Of several runs, the mean is drawn. They were trained on upright
digits, so where the confidence stays high and the accuracy falls, the network is overconfident (Gal and Ghahramani,
Dropout as a Bayesian Approximation, ICML 2016, section 5.2).

For LeNet5 on MNIST uncertainty rises with the angle, but far too little. Upside down it falls again, because digits of
half a turn look like digits.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro
from results import OFF, Options

import cnnlab
from cnnlab.data import Examples
from cnnlab.evaluation.rows import row_function
from cnnlab.geometry.warp import affine, warp_images
from cnnlab.plots.canvas import new_figure, show
from cnnlab.training.restore import load_data

COLUMNS = ("accuracy", "confidence", "entropy", "mutual_information")


def turned(examples: Examples, angle: float) -> Examples:
    """Returns the examples with images turned counter-clockwise about the centre by an angle in degrees."""
    images = examples.column("image")
    matrix = affine(images.shape[1:3], rotation=angle)
    turn = cnnlab.jit(lambda part: warp_images(part, jnp.broadcast_to(matrix, (len(part), 2, 3))))
    parts = [np.asarray(turn(images[i : i + 1000])) for i in range(0, len(images), 1000)]
    return Examples({"image": np.concatenate(parts), "label": examples.column("label")})


def main(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    /,
    angles: int = 19,
    samples: int = 50,
    output: Path = Path("runs/rotated_digits"),
    title: str = "MNIST, LeNet5",
    recording: Options = OFF,
) -> dict[str, np.ndarray]:
    """Turns the test split, prints a line for each angle and draws the figure.

    Args:
        runs: run directories of one dataset.
        angles: number of angles from 0 to 180 degrees.
        samples: number of MC-Dropout passes.
        output: folder of the figure.
        title: name of network and data among the results.
        recording: whether the results are stored.
    """
    if not runs:
        raise ValueError("no RUN given; name a run directory")
    examples = load_data(runs[0])["test"]
    evaluations = [row_function([cnnlab.load(run)], mc_samples=samples) for run in runs]
    degrees, means = np.linspace(0, 180, angles), []
    print("degrees  " + "  ".join(f"{name.replace('_', ' '):>18}" for name in COLUMNS))
    for angle in degrees:
        moved = turned(examples, angle)
        means.append([_means(rows_of(moved)) for rows_of in evaluations])
        print(f"{angle:7.0f}  " + "  ".join(f"{value:18.4f}" for value in np.mean(means[-1], 0)), flush=True)
        metrics = dict(zip(COLUMNS, np.transpose(means[-1]), strict=True))
        recording.add(f"{title}, digits turned by {angle:g}°", metrics, group="uncertainty")
    table = dict(zip(COLUMNS, np.moveaxis(means, 2, 0), strict=True))  # each [angles, runs]
    output.mkdir(parents=True, exist_ok=True)
    _draw(degrees, table, examples).savefig(output / "rotated.png", bbox_inches="tight")
    print(output / "rotated.png")
    return table


def _means(rows: dict[str, np.ndarray]) -> list[float]:
    correct = rows["probs"].argmax(-1) == rows["label"]
    return [v.mean() for v in (correct, rows["probs"].max(-1), rows["entropy"], rows["mutual_information"])]


def _draw(degrees: np.ndarray, table: dict[str, np.ndarray], examples: Examples):
    figure, axes = new_figure(2, 1, size=(7, 6))
    for axis, names in zip(axes[:, 0], (COLUMNS[:2], COLUMNS[2:]), strict=True):
        for name, colour in zip(names, ("#0072b2", "#d55e00"), strict=True):
            axis.plot(degrees, table[name].mean(1), "o-", color=colour, markersize=3, label=name.replace("_", " "))
        axis.set(xlabel="turned by (degrees)", xlim=(0, 180), ylim=(0, None))
        axis.legend(frameon=False)
    axes[1, 0].set_ylabel("nats")
    first = Examples(examples[np.arange(1)])
    for angle in (0, 45, 90, 135, 180):  # the first test digit, as the network sees it
        place = axes[0, 0].inset_axes((angle / 180 - 0.05, 1.02, 0.1, 0.24))
        show(place, turned(first, angle).column("image")[0])
    return figure


if __name__ == "__main__":
    tyro.cli(main)
