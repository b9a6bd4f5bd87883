"""Outlines and shapes of a historical map: Paris, atlas of 1926, by a U-Net that says where it is unsure.

    python experiments/paris_atlas_unet.py --atlas DIR [--runs runs/paris_atlas_unet]

DIR holds `sheet.jpg`, `edges.png`, `shapes.png` and `content.png` of the atlas (github.com/soduco/
ICDAR-2021-Vectorization, CC BY 4.0). Columns below 4800 train, 4800 to 5400 choose the epoch and every threshold, 5400
to 6288 are scored. Outlines are learnt 3 pixels wide and compared thinned, as the crests of the mean probability over
32 passes of each of two networks, four of each flip and quarter turn; shapes are the basins of its watershed (extra
`shapes`) or the connected parts of the rest, whichever serves the choosing strip.

Panoptic quality is over shapes of 50 pixels or more, inside the content, matched above an IoU of 1/2. True are the
closed shapes of `shapes.png`, found is every part of the strip that outlines cut off and that is connected without
corners. So the network of streets, which outlines enclose too, is a spurious shape, one or as many as it falls apart
into: the true outlines themselves score .998, 309 shapes and one street; 3 pixels wide as they are learnt .907, since
narrow shapes fall apart. The atlas's own evaluator takes all parts between the true outlines for true, streets too; so
does `panoptic_quality_with_streets` (1 and .909). It has no least size, and counts the outlines as one more region.

`RUNS/picture.png` shows a part of the scoring strip: map, truth, guess, mean, variance and errors.

A new sheet of the same atlas: `cnnlab predict RUNS/unet0 sheet.jpg --mc 30 --background outline --watershed .2
--smallest 50 --output DIR` (8.7 minutes by one core with `--tile 1024`, 1.6 GB at most, 2026-11-22). Its polygons are
the watershed's of one network's passes; the mean over networks, flips and turns, which the numbers below have, is this
script's.

Published edge maps reach boundary F1 (2 px) .887 (U-Net) and .895 (BDCN), panoptic quality .466 and .398.
Expected: F1 .92, panoptic quality .55, error-detection AUROC of the variance .90.
Measured on two cores of an AMD EPYC (AVX-512), 2026-11-22, 24,000 windows in 66 and 81 minutes a network, one core
each, beside other work: boundary F1 .9168 (precision .906, recall .928; of thick lines .9092), panoptic quality .5958
(segmentation .869, recognition .686; with streets .5967), error-detection AUROC .9267: above both published ones, and
above what was expected of quality and AUROC, just below what was of F1. Each network apart: F1 .9185 and .9131, quality
.5749 and .5768. Over other dropout masks the pair has .9170 and .5799, since a level of .3 then serves the choosing
strip's 175 shapes better than .2: quality is known to about .01.

What it took, on the choosing strip: thin instead of thick lines .918 to .938 of F1; a watershed that floods by height
instead of by differences along the way (`scipy.ndimage.watershed_ift`) .627 to .646 of quality. Small turns, zoom and
light in training gained a single network .002, two of them nothing. With thick lines, the other watershed and flips and
quarter turns alone the scoring strip had .9065 and .5540, four networks of both kinds have .9172 and .5961: more
networks are not what is missing. Where the network and the outlines differ, it is mostly about which lines bound a
shape: bridges, quays, dotted walks. To merge basins by the mean of the wall between them, or to start them away from
walls, gained nothing beyond the noise. Two networks a level deeper (7.8 million parameters) that see
windows of 384, about 70 minutes each on one core of an Intel Xeon (2026-11-23, `--depth 5 --window 384 --crops 1333
--epochs 5 --batch-size 4`, five eighths of the pixels), have .9187 on the choosing strip instead of .938, and were not
scored; nor did crests gain there by hysteresis, a least length, smoothing or nearness to a basin's border (.9190 at
most).
"""

import dataclasses
import io
import itertools
from pathlib import Path

import jax
import numpy as np
import tyro
from PIL import Image
from scipy import ndimage

import cnnlab
from cnnlab.metrics.segmentation.boundaries import boundary_counts, ridges
from cnnlab.metrics.segmentation.panoptic import basins, panoptic_counts, require_watershed, shapes
from cnnlab.metrics.separation import separation
from cnnlab.plots.segmentation import prediction_grid
from cnnlab.uncertainty import DIHEDRAL

EDGES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BASINS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
SMALLEST = 50  # pixels of a shape that counts
CONTEXT = 128  # columns beside a strip that the network sees and that are not scored
PICTURE = 600  # rows and columns of the part that is shown


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
) -> dict[str, float]:
    """Trains, tunes on the choosing strip, scores the last one, prints and draws.

    Args:
        atlas: the data's directory.
        runs: where the run, the outlines and the picture go.
        width: channels of the first block.
        depth: poolings.
        dropout: rate of dropped feature maps.
        epochs: each of `crops` windows.
        crops: windows an epoch, others in each.
        window: their side, in pixels.
        batch_size: windows a step.
        mc_samples: stochastic passes of each network, over all eight views together.
        networks: trained apart, whose answers are averaged.
        columns: where the strips for choosing and scoring begin, and where the latter ends.
    """
    require_watershed()  # better now than after training
    choose, score, end = columns
    runs.mkdir(parents=True, exist_ok=True)
    edges, content, true = (read(atlas / f"{name}.png") for name in ("edges", "content", "shapes"))
    wide = ndimage.binary_dilation(edges, np.ones((3, 3)))
    Image.fromarray(255 * wide.astype(np.uint8)).save(runs / "outlines.png")
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("unet", width=width, depth=depth, spatial_dropout=dropout),
        data=cnnlab.Choice(
            "sheet",
            path=str((atlas / "sheet.jpg").resolve()),
            mask=str((runs / "outlines.png").resolve()),
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
    trained = [
        cnnlab.train(dataclasses.replace(experiment, seed=seed), runs / f"unet{seed}") for seed in range(networks)
    ]
    sheet = np.asarray(Image.open(atlas / "sheet.jpg").convert("RGB"))
    strips = {}
    for name, (low, high) in {"choose": (choose, score), "score": (score, end)}.items():
        probability, variance = answer(trained, sheet, low, high, mc_samples)
        part = (slice(None), slice(low, high))
        strips[name] = (probability, variance, wide[part], edges[part], true[part], content[part])
    chosen = tune(*strips["choose"])
    probability, variance, *truth = strips["score"]
    table = scores(probability, truth[1:], **chosen) | error_detection(probability, variance, truth)
    draw(sheet[:, score:end], probability > 0.5, probability, variance, truth).save(runs / "picture.png")
    print(", ".join(f"{name} {value}" for name, value in chosen.items()))
    for name, value in table.items():
        print(f"  {name:30} {value:.4f}")
    return table


def read(path: Path) -> np.ndarray:
    """Where a grey image is not black."""
    return np.asarray(Image.open(path).convert("L")) > 0


def answer(
    networks: list[cnnlab.Trained], sheet: np.ndarray, low: int, high: int, mc_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the probability of an outline in a strip of columns, which sees what lies beside it.

    Each of the strip's eight flips and quarter turns takes its share of every network's passes.
    """
    left = max(low - CONTEXT, 0)
    seen = sheet[:, left : high + CONTEXT]
    ways = list(itertools.product(networks, DIHEDRAL))
    total = squares = 0
    for number, (trained, (flip, turns)) in enumerate(ways):
        view = np.ascontiguousarray(np.rot90(seen[:, ::-1] if flip else seen, turns))[None]
        key = jax.random.fold_in(jax.random.key(0), number)
        found = cnnlab.mc_predict(trained, view, key=key, num_samples=-(-mc_samples // len(DIHEDRAL)), chunk=1)
        mean, variance = (np.rot90(np.asarray(one[0, ..., 1]), -turns) for one in (found.mean, found.variance))
        mean, variance = (one[:, ::-1] if flip else one for one in (mean, variance))
        total, squares = total + mean, squares + variance + mean**2
    mean = total / len(ways)
    part = (slice(None), slice(low - left, high - left))
    return mean[part], np.maximum(squares / len(ways) - mean**2, 0)[part]


def tune(probability, variance, wide, edges, true, content) -> dict[str, float | str]:
    """The thresholds of outlines, thin and as thick as they are learnt, with the best F1; how shapes come out best."""
    del variance, wide
    ways = [(method, basin) for method in SHAPES for basin in BASINS]

    def thin(level: float) -> float:
        return boundary_counts(ridges(probability, level), edges, inside=content).f1

    def thick(level: float) -> float:
        return boundary_counts(probability > level, edges, inside=content).f1

    def quality(way: tuple[str, float]) -> float:
        found = panoptic_counts(SHAPES[way[0]](probability, way[1]), shapes(true), min_size=SMALLEST, inside=content)
        return np.nan_to_num(found.quality)

    method, basin = max(ways, key=quality)
    return {"thin": max(EDGES, key=thin), "thick": max(EDGES, key=thick), "method": method, "basin": basin}


def parts(probability: np.ndarray, below: float) -> np.ndarray:
    """Connected parts of what is no outline, grown by a pixel: outlines are learnt 3 pixels wide and drawn 1 wide."""
    found = shapes(probability < below)
    far, nearest = ndimage.distance_transform_edt(found == 0, return_indices=True)
    return np.where(far < 1.5, found[tuple(nearest)], 0)


def flooded(probability: np.ndarray, below: float) -> np.ndarray:
    """The basins of a watershed of the probability of an outline."""
    return basins(probability, below, min_size=SMALLEST, lines=True)


SHAPES = {"connected parts": parts, "watershed": flooded}


def scores(probability, truth, thin: float, thick: float, method: str, basin: float) -> dict[str, float]:
    """Boundary F1 and panoptic quality of a strip."""
    edges, true, content = truth
    lines = boundary_counts(ridges(probability, thin), edges, inside=content)
    drawn, rule = SHAPES[method](probability, basin), {"min_size": SMALLEST, "inside": content}
    found = panoptic_counts(drawn, shapes(true), **rule)
    return {
        "boundary_f1": lines.f1,
        "boundary_precision": lines.precision,
        "boundary_recall": lines.recall,
        "boundary_f1_of_thick_lines": boundary_counts(probability > thick, edges, inside=content).f1,
        "panoptic_quality": found.quality,
        "segmentation_quality": found.segmentation_quality,
        "recognition_quality": found.recognition_quality,
        "panoptic_quality_with_streets": panoptic_counts(drawn, shapes(~edges), **rule).quality,
    }


def error_detection(probability, variance, truth) -> dict[str, float]:
    """How well the variance tells wrong pixels from right ones, inside the content."""
    wide, *_, content = truth
    wrong = (probability > 0.5) != wide
    if not (wrong & content).any():
        return {"error_auroc_variance": float("nan")}
    return {"error_auroc_variance": separation(variance[~wrong & content], variance[wrong & content]).auroc}


def draw(sheet: np.ndarray, guess: np.ndarray, probability, variance, truth) -> Image.Image:
    """The middle of a strip: map, truth, guess, mean, variance and errors side by side, in 256 colours."""
    wide, *_, content = truth
    rows = np.flatnonzero(content.any(1))
    top, left = max((rows[0] + rows[-1] + 1 - PICTURE) // 2, 0), max((content.shape[1] - PICTURE) // 2, 0)
    shown = [sheet, np.where(content, wide, -1), guess.astype(int), probability, variance]
    image, mask, found, mean, spread = (one[top : top + PICTURE, left : left + PICTURE] for one in shown)
    figure = prediction_grid([image], [mask], [found], {"E[y]": [mean], "Var[y]": [spread]}, 2)
    figure.set_size_inches(16, 3)
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)  # keeps a scale's rare colours


if __name__ == "__main__":
    tyro.cli(main)
