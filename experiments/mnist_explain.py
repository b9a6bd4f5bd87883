"""Why does LeNet5 take a 4 for a 9? Maps of the wrong digits of MNIST, and which methods of explanation pass a test.

    cnnlab data prepare mnist
    python experiments/mnist_explain.py [--images 1000] [--runs runs/mnist_explain] [--record]

`RUNS/wrong.png` shows the first wrong digits of the test split: where the network sees its guess, where it sees the
truth, and by how much these maps differ between MC-Dropout passes.

The table counts the maps that pass each test, for `--images` test digits that are drawn with a seed, each explained for
the network's own answer. A map passes deletion, insertion, ROAD and infidelity if it is better than a random map and
than the digit's edges. It passes randomisation if it changes with the network's parameters. Flagged maps
beat neither on more than half of the first four; empty maps are zero everywhere. `RUNS/tests.json` holds the same
numbers. It is written after each method, and a second call continues after the last one.

On 2 cores, 2026-11-28, 140 of the 10,000 test digits are wrong. Of 10,000 maps of each method, those of RISE,
occlusion, integrated gradients and input times gradient are the most faithful: 98 % or more pass deletion and
insertion, and none or 1 in 1,000 is flagged. Yet only 62 %, 39 %, 74 % and 75 % of them pass randomisation, because ink
weighs more than blank paper for random parameters too. Saliency and SmoothGrad always pass it, but fail ROAD on most
digits. Class activation maps have 10 x 10 places here and often mark the paper beside a stroke: 21 % of Grad-CAM's pass
deletion, and 53 % are flagged.
"""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from results import OFF, Options

import cnnlab
from cnnlab import explain
from cnnlab.console import console, progress_bar
from cnnlab.data import Examples
from cnnlab.files.atomic import write_text
from cnnlab.plots.canvas import show
from cnnlab.plots.explanations import overlay_map
from cnnlab.training.restore import load_data

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5", dropout=0.3),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(epochs=2, batch_size=128),
)
SCORES = ("deletion", "insertion", "road", "infidelity", "randomisation")  # max_sensitivity needs ten more maps
BATCH = 250


def main(
    runs: Path = Path("runs/mnist_explain"),
    methods: tuple[str, ...] = tuple(explain.METHODS),
    scores: tuple[str, ...] = SCORES,
    images: int = 1000,
    seed: int = 0,
    shown: int = 12,
    method: str = "occlusion",
    passes: int = 20,
    recording: Options = OFF,
) -> dict[str, dict[str, float]]:
    """Trains a network, draws its wrong digits, and counts the maps of each method that pass each test.

    Args:
        runs: folder of the run, the figure and the numbers.
        methods: methods in the table.
        scores: tests in the table.
        images: number of test digits in the table.
        seed: seed by which they are drawn.
        shown: largest number of wrong digits in the figure.
        method: method of the figure.
        passes: number of MC-Dropout passes of the figure.
        recording: whether the results are stored.
    """
    trained = cnnlab.train(EXPERIMENT, runs / "lenet5")
    test = load_data(runs / "lenet5")["test"]
    wrong = find_wrong(trained, test)
    print(f"{len(wrong)} of {len(test)} test digits are wrong")
    (runs / "wrong.png").unlink(missing_ok=True)
    if len(wrong):
        draw(trained, test[wrong[:shown]], method, passes).savefig(runs / "wrong.png")
        print(runs / "wrong.png")

    chosen = np.sort(np.random.default_rng(seed).choice(len(test), min(images, len(test)), replace=False))
    digits, table = test[chosen]["image"], {}
    settings = {"digits": len(digits), "seed": seed, "scores": list(scores), "wrong": len(wrong)}
    finished = read_finished(runs / "tests.json", settings)
    columns = (*scores, "flagged", "empty")
    print(f"Share of {len(digits)} maps (%)\n{'':24}{''.join(f'{name:>15}' for name in columns)}  seconds")
    for name in methods:
        started = time.perf_counter()
        table[name] = finished[name] if name in finished else count(trained, digits, name, scores)
        finished[name] = table[name]
        write_text(runs / "tests.json", json.dumps({**settings, "share": finished}, indent=2) + "\n")
        cells = "".join(f"{100 * table[name][column]:15.1f}" for column in columns)
        print(f"{name:24}{cells}{time.perf_counter() - started:9.0f}", flush=True)
        recording.add(f"MNIST, LeNet5, {len(digits):,} maps by {name}", table[name], group="explanations")
    return table


def read_finished(file: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the shares by method that an earlier call with the same settings has stored."""
    report = json.loads(file.read_text()) if file.is_file() else {}
    return report.get("share", {}) if {name: report.get(name) for name in settings} == settings else {}


def find_wrong(trained: cnnlab.Trained, test: Examples) -> np.ndarray:
    """Returns the numbers of the digits that a pass without dropout does not recognise."""
    guesses = [np.asarray(cnnlab.predict(trained, part).label) for part in batches(test.column("image"))]
    return np.flatnonzero(np.concatenate(guesses) != test.column("label"))


def count(trained: cnnlab.Trained, digits: np.ndarray, method: str, scores: Sequence[str]) -> dict[str, float]:
    """Returns the shares of maps that pass each test, that are flagged, and that are zero everywhere."""
    parts = []
    with progress_bar(console(quiet=False), texts={"label": method}, total=len(digits)) as update:
        for part in batches(digits):
            with warnings.catch_warnings(action="ignore"):  # about empty maps, which are counted
                result = explain.explain(method, trained, part, verdict=tuple(scores))
            verdict = result.verdict
            empty = ~np.any(result.map, (1, 2))
            parts.append({**explain.beats(verdict), "flagged": explain.flagged(verdict), "empty": empty})
            update(advance=len(part))
    return {name: float(np.concatenate([part[name] for part in parts]).mean()) for name in parts[0]}


def batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the images in parts of `BATCH`."""
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def draw(trained: cnnlab.Trained, wrong: Mapping[str, np.ndarray], method: str, passes: int):
    """Draws each digit, in black on white, with the maps of the guess and of the truth and their error bars."""
    from matplotlib.figure import Figure

    images, truth = wrong["image"], wrong["label"]
    found = jax.device_get(cnnlab.predict(trained, images))
    reasons = []
    for label in (found.label, truth):
        target = explain.targets.class_logit(label)
        result = explain.explain(method, trained, images, target, mc_samples=passes, verdict=False)
        reasons.append((label, jax.device_get(result)))
    columns, rows = 2, -(-len(images) // 2)
    figure = Figure(figsize=(5.6 * columns, 1.45 * rows + 0.7), layout="constrained", dpi=120)
    figure.suptitle(
        f"What speaks for LeNet5's wrong guess, and what for the truth? ({method.replace('_', ' ')})\n"
        f"Orange raises the digit's logit, blue lowers it; ± is the standard deviation over {passes} MC-Dropout passes",
        fontsize=9,
    )
    parts = figure.subfigures(rows, columns, squeeze=False).flat
    for i, (part, image) in enumerate(zip(parts, images, strict=False)):
        axes = part.subplots(1, 5)
        show(axes[0], 255 - image)
        pale = 255 - image // 3  # so that the map's colours are seen on the ink
        axes[0].set_title(f"a {truth[i]}", fontsize=8)
        for (label, result), (mean, spread) in zip(reasons, (axes[1:3], axes[3:]), strict=True):
            scale = np.abs(result.map[i]).max()  # of both panels, so that they can be compared
            mean.imshow(overlay_map(pale, result.map[i], scale=scale))
            spread.imshow(overlay_map(pale, result.spread[i], scale=scale))
            spread.set_title("±", fontsize=8)
            kind = "guess" if label is found.label else "truth"
            mean.set_title(f"{kind} {label[i]}, p = {found.probs[i, label[i]]:.2f}", fontsize=8)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    tyro.cli(main)
