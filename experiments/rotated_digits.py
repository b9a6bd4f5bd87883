"""What a network says of digits that are turned ever further: confidence, entropy and mutual information by angle.

    python experiments/rotated_digits.py RUN... [--angles 19] [--samples 50] [--output runs/rotated_digits]

RUN is any finished classification run with dropout; of several, the mean is drawn. It was trained on upright digits, so
a confidence that stays high where the accuracy falls is the network's own mistake about itself (Gal and Ghahramani,
Dropout as a Bayesian Approximation, ICML 2016, section 5.2).
Measured on one core of an AMD EPYC, 2026-11-21, the first three plain runs of mnist_lenet5.py, `--angles 13`, means of
accuracy, confidence, entropy and mutual information (nats): upright .992 .988 .05 .02, at 30 degrees .867 .883 .37 .12,
at 60 .345 .682 .94 .29, at 90 .164 .663 .97 .35, at 180 .385 .828 .51 .19. Doubt rises with the angle, but far too
little: at 90 degrees two answers of three would be right by the confidence, one of six is. Upside down it falls again,
because digits of half a turn look like digits.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

import cnnlab
from cnnlab.data import Examples
from cnnlab.evaluation.rows import row_function
from cnnlab.geometry.warp import affine, warp_images
from cnnlab.plots.canvas import new_figure, show
from cnnlab.training.restore import load_data

COLUMNS = ("accuracy", "confidence", "entropy", "mutual_information")


def turned(examples: Examples, angle: float) -> Examples:
    """The examples, their images turned counter-clockwise by so many degrees about the centre."""
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
) -> dict[str, np.ndarray]:
    """Turns the test split, prints a line an angle and draws the picture.

    Args:
        runs: run directories of one dataset.
        angles: from 0 to 180 degrees.
        samples: MC-Dropout passes.
        output: where the picture goes.
    """
    if not runs:
        raise ValueError("no RUN given; name a run directory")
    examples = load_data(runs[0])["test"]
    answers = [row_function([cnnlab.load(run)], mc_samples=samples) for run in runs]
    degrees, found = np.linspace(0, 180, angles), []
    print("degrees  " + "  ".join(f"{name.replace('_', ' '):>18}" for name in COLUMNS))
    for angle in degrees:
        moved = turned(examples, angle)
        found.append([_means(answer(moved)) for answer in answers])
        print(f"{angle:7.0f}  " + "  ".join(f"{value:18.4f}" for value in np.mean(found[-1], 0)), flush=True)
    table = dict(zip(COLUMNS, np.moveaxis(found, 2, 0), strict=True))  # each [angles, runs]
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
