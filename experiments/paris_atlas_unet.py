"""Segmentation of a historical map, Paris 1926, into outlines and shapes by U-Nets with MC-Dropout.

    python experiments/paris_atlas_unet.py --atlas DIR [--runs runs/paris_atlas_unet] [--record]

DIR holds `sheet.jpg`, `edges.png`, `shapes.png` and `content.png` of the atlas (github.com/soduco/
ICDAR-2021-Vectorization, CC BY 4.0). Columns below 4800 train. Columns 4800 to 5400 are the choosing strip, which
chooses the epoch and every threshold. Columns 5400 to 6288 are the scoring strip. Outlines are learnt 3 pixels wide.
For the score they are thinned to the crests of the mean probability over 32 passes of each of two networks, four for
each flip and quarter turn. Shapes are the basins of a watershed of this probability (extra `shapes`) or the connected
parts of the rest, whichever scores better on the choosing strip.

Panoptic quality counts shapes of 50 pixels or more inside the content, matched above an IoU of 1/2. The true shapes are
the closed ones of `shapes.png`. The predicted shapes are all parts of the strip that outlines cut off and that are
connected without corners. So the network of streets, which outlines enclose too, counts as a spurious shape, or as
several if it falls apart. The atlas's own evaluator counts all parts between the true outlines as true, streets too,
and so does `panoptic_quality_with_streets`. It has no smallest size, and counts the outlines as one more region.

`RUNS/picture.png` shows a part of the scoring strip: map, truth, prediction, mean, variance and errors.

A new sheet of the same atlas: `cnnlab predict RUNS/unet0 sheet.jpg --mc 30 --background outline --watershed .2
--smallest 50 --output DIR`. Its polygons come from the passes of one network. Only this script averages over networks,
flips and turns.

Published edge maps reach a boundary F1 (2 px) of .887 (U-Net) and .895 (BDCN), and a panoptic quality of .466 and .398.
The goals are an F1 of .92, a panoptic quality of .55 and an error-detection AUROC of the variance of .90.

The networks exceed the published scores and reach all goals but F1, which they miss by little. Thin lines and a
watershed that floods by height instead of by differences along the way (`scipy.ndimage.watershed_ift`) help most.
Networks that are deeper or more numerous do not, nor do basins merged by their walls, nor other rules for crests. Where
prediction and truth differ, it is mostly about which lines bound a shape: bridges, quays, dotted walks.
"""

import dataclasses
import io
import itertools
from pathlib import Path

import jax
import numpy as np
import tyro
from PIL import Image
from results import OFF, Options
from scipy import ndimage
from study import show

import cnnlab
from cnnlab.metrics.segmentation.boundaries import boundary_counts, ridges
from cnnlab.metrics.segmentation.panoptic import basins, panoptic_counts, require_watershed, shapes
from cnnlab.metrics.separation import separation
from cnnlab.plots.segmentation import prediction_grid
from cnnlab.uncertainty import DIHEDRAL

EDGES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BASINS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
SMALLEST = 50  # pixels of the smallest shape that counts
CONTEXT = 128  # columns beside a strip that the network sees and that are not scored
DRAWN = 600  # rows and columns of the part in the figure


def main(
    atlas: Path,
    runs: Path = Path("runs/paris_atlas_unet"),
    width: int = 16,
    depth: int = 4,
    dropout: float = 0.1,
    epochs: int = 8,
    crops: int = 3000,
    window: int = 256,
    batch_size: int = 8,
    mc_samples: int = 32,
    networks: int = 2,
    columns: tuple[int, int, int] = (4800, 5400, 6288),
    recording: Options = OFF,
) -> dict[str, float]:
    """Trains, tunes on the choosing strip, scores the scoring strip, prints and draws.

    Args:
        atlas: directory of the data.
        runs: folder of the runs, the outlines and the figure.
        width: channels of the first block.
        depth: number of poolings.
        dropout: rate of spatial dropout.
        epochs: number of epochs of `crops` windows.
        crops: windows an epoch, drawn anew for each epoch.
        window: height and width of a window in pixels.
        batch_size: windows a step.
        mc_samples: number of MC-Dropout passes of each network, over all eight views together.
        networks: number of networks whose predictions are averaged.
        columns: first column of the choosing strip and of the scoring strip, and the end of the latter.
        recording: whether the results are stored.
    """
    require_watershed()  # fails before the training if the extra is missing
    choose, score, end = columns
    runs.mkdir(parents=True, exist_ok=True)
    edges, content, true = (read(atlas / f"{name}.png") for name in ("edges", "content", "shapes"))
    wide = ndimage.binary_dilation(edges, np.ones((3, 3)))
    Image.fromarray(255 * wide.astype(np.uint8)).save(runs / "outlines.png")
    experiment = make_experiment(
        atlas,
        runs / "outlines.png",
        width=width,
        depth=depth,
        dropout=dropout,
        epochs=epochs,
        crops=crops,
        window=window,
        batch_size=batch_size,
        columns=columns,
    )
    trained = [
        cnnlab.train(dataclasses.replace(experiment, seed=seed), runs / f"unet{seed}") for seed in range(networks)
    ]
    sheet = np.asarray(Image.open(atlas / "sheet.jpg").convert("RGB"))
    strips = {}
    for name, (low, high) in {"choose": (choose, score), "score": (score, end)}.items():
        probability, variance = predict(trained, sheet, low, high, mc_samples)
        part = (slice(None), slice(low, high))
        strips[name] = (probability, variance, wide[part], edges[part], true[part], content[part])
    chosen = tune(*strips["choose"])
    probability, variance, *truth = strips["score"]
    table = scores(probability, truth[1:], **chosen) | error_detection(probability, variance, truth)
    draw(sheet[:, score:end], probability > 0.5, probability, variance, truth).save(runs / "picture.png")
    print(", ".join(f"{name} {value}" for name, value in chosen.items()))
    show("Paris, atlas of 1926", table, recording, group="segmentation")
    return table


def make_experiment(
    atlas: Path,
    outlines: Path,
    *,
    width: int,
    depth: int,
    dropout: float,
    epochs: int,
    crops: int,
    window: int,
    batch_size: int,
    columns: tuple[int, int, int],
) -> cnnlab.Experiment:
    """Returns the experiment that learns `outlines`, a mask of the sheet; the other arguments are those of `main`."""
    choose, score, end = columns
    return cnnlab.Experiment(
        model=cnnlab.Choice("unet", width=width, depth=depth, spatial_dropout=dropout, up="transposed"),
        data=cnnlab.Choice(
            "sheet",
            path=str((atlas / "sheet.jpg").resolve()),
            mask=str(outlines.resolve()),
            content=str((atlas / "content.png").resolve()),
            classes=("shape", "outline"),
            window=window,
            crops=crops,
            validation=(choose, score),
            test=(score, end),
        ),
        task=cnnlab.Choice("segmentation", kind=("cross_entropy", "dice")),
        optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", weight_decay=0.01),
        training=cnnlab.Training(
            epochs=epochs,
            batch_size=batch_size,
            augmentation=cnnlab.data.Augmentation(
                horizontal_flip=0.5,
                vertical_flip=0.5,
                quarter_turns=True,
                rotation=10,
                zoom=0.1,
                brightness=0.1,
                contrast=0.2,
            ),
        ),
    )


def read(path: Path) -> np.ndarray:
    """Reads a grey image as a mask of the pixels that are not black."""
    return np.asarray(Image.open(path).convert("L")) > 0


def predict(
    networks: list[cnnlab.Trained], sheet: np.ndarray, low: int, high: int, mc_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance of the outline probability in a strip of columns.

    The networks also see the columns beside the strip. The passes of each network are divided among the strip's eight
    flips and quarter turns.
    """
    left = max(low - CONTEXT, 0)
    strip = sheet[:, left : high + CONTEXT]
    ways = list(itertools.product(networks, DIHEDRAL))
    total = squares = 0
    for number, (trained, (flip, turns)) in enumerate(ways):
        view = np.ascontiguousarray(np.rot90(strip[:, ::-1] if flip else strip, turns))[None]
        key = jax.random.fold_in(jax.random.key(0), number)
        passes = cnnlab.mc_predict(trained, view, key=key, num_samples=-(-mc_samples // len(DIHEDRAL)), chunk=1)
        mean, variance = (np.rot90(np.asarray(part[0, ..., 1]), -turns) for part in (passes.mean, passes.variance))
        mean, variance = (part[:, ::-1] if flip else part for part in (mean, variance))
        total, squares = total + mean, squares + variance + mean**2
    mean = total / len(ways)
    part = (slice(None), slice(low - left, high - left))
    return mean[part], np.maximum(squares / len(ways) - mean**2, 0)[part]


def tune(probability, variance, wide, edges, true, content) -> dict[str, float | str]:
    """Returns the thresholds of thin and thick outlines with the best F1, and the best method of shapes."""
    del variance, wide
    ways = [(method, basin) for method in SHAPES for basin in BASINS]

    def thin(level: float) -> float:
        return boundary_counts(ridges(probability, level), edges, inside=content).f1

    def thick(level: float) -> float:
        return boundary_counts(probability > level, edges, inside=content).f1

    def quality(way: tuple[str, float]) -> float:
        predicted = SHAPES[way[0]](probability, way[1])
        counts = panoptic_counts(predicted, shapes(true), min_size=SMALLEST, inside=content)
        return np.nan_to_num(counts.quality)

    method, basin = max(ways, key=quality)
    return {"thin": max(EDGES, key=thin), "thick": max(EDGES, key=thick), "method": method, "basin": basin}


def parts(probability: np.ndarray, below: float) -> np.ndarray:
    """Returns the connected parts between outlines, grown by a pixel: outlines are learnt 3 pixels wide and drawn 1."""
    regions = shapes(probability < below)
    far, nearest = ndimage.distance_transform_edt(regions == 0, return_indices=True)
    return np.where(far < 1.5, regions[tuple(nearest)], 0)


def flooded(probability: np.ndarray, below: float) -> np.ndarray:
    """Returns the basins of a watershed of the outline probability."""
    return basins(probability, below, min_size=SMALLEST, lines=True)


SHAPES = {"connected parts": parts, "watershed": flooded}


def scores(probability, truth, thin: float, thick: float, method: str, basin: float) -> dict[str, float]:
    """Computes boundary F1 and panoptic quality of a strip."""
    edges, true, content = truth
    lines = boundary_counts(ridges(probability, thin), edges, inside=content)
    predicted, rule = SHAPES[method](probability, basin), {"min_size": SMALLEST, "inside": content}
    counts = panoptic_counts(predicted, shapes(true), **rule)
    return {
        "boundary_f1": lines.f1,
        "boundary_precision": lines.precision,
        "boundary_recall": lines.recall,
        "boundary_f1_of_thick_lines": boundary_counts(probability > thick, edges, inside=content).f1,
        "panoptic_quality": counts.quality,
        "segmentation_quality": counts.segmentation_quality,
        "recognition_quality": counts.recognition_quality,
        "panoptic_quality_with_streets": panoptic_counts(predicted, shapes(~edges), **rule).quality,
    }


def error_detection(probability, variance, truth) -> dict[str, float]:
    """Computes the AUROC by which the variance separates wrong pixels from right ones, inside the content."""
    wide, *_, content = truth
    wrong = (probability > 0.5) != wide
    if not (wrong & content).any():
        return {"error_auroc_variance": float("nan")}
    return {"error_auroc_variance": separation(variance[~wrong & content], variance[wrong & content]).auroc}


def draw(sheet: np.ndarray, guess: np.ndarray, probability, variance, truth) -> Image.Image:
    """Draws the middle of a strip: map, truth, prediction, mean, variance and errors side by side, in 256 colours."""
    wide, *_, content = truth
    rows = np.flatnonzero(content.any(1))
    top, left = max((rows[0] + rows[-1] + 1 - DRAWN) // 2, 0), max((content.shape[1] - DRAWN) // 2, 0)
    panels = [sheet, np.where(content, wide, -1), guess.astype(int), probability, variance]
    image, mask, prediction, mean, spread = (panel[top : top + DRAWN, left : left + DRAWN] for panel in panels)
    figure = prediction_grid([image], [mask], [prediction], {"E[y]": [mean], "Var[y]": [spread]}, ("shape", "outline"))
    figure.set_size_inches(16, 3)
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)  # keeps a scale's rare colours


if __name__ == "__main__":
    tyro.cli(main)
