"""How U-Net doubles its maps: mean IoU, chequerboards of E[y] and Var[y], and time per step after short trainings.

    python experiments/upsampling.py --camvid DIR --atlas DIR [--seeds 3] [--output runs/upsampling] [--record]

CAMVID and ATLAS are the folders of `camvid_bayesian.py` and `paris_atlas_unet.py`. The third data set are drawn shapes.
Each network is trained for two epochs, with a 2x2 transposed convolution, or with a 1x1 convolution that is
interpolated. All values are those of validation images. The grid power of `cnnlab.metrics.segmentation.grids` is that
of the maps of all classes. The times are medians of steps that take turns, as a ratio to the transposed convolution.
`OUTPUT/upsampling.png` shows Var[y] of one validation image in each data set.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from camvid_bayesian import camvid as read_camvid
from PIL import Image
from results import OFF, Options
from scipy import ndimage
from study import Table, show

import cnnlab
from cnnlab.data import training_batches
from cnnlab.metrics.segmentation.grids import grid_power
from cnnlab.plots.canvas import new_figure
from cnnlab.runtime.compile_cache import keep_compilations
from cnnlab.training.loop import prepare_batch, train_plan
from cnnlab.training.plan import Plan, make_plan
from cnnlab.training.step import create_state, train_step

UPS = ("transposed", "bilinear", "nearest")
AUGMENTATION = cnnlab.data.Augmentation(horizontal_flip=0.5)
EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=8, depth=3, spatial_dropout=0.1),
    task=cnnlab.Choice("segmentation"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=2, batch_size=8, augmentation=AUGMENTATION),
)
ROUNDS = 12  # steps of each network that are timed
SHOWN = 64  # rows and columns of the part in the figure


def shapes(small: bool = False) -> cnnlab.data.Dataset:
    """Draws shapes of 64x64 pixels; fewer of them for a test."""
    return cnnlab.data.shapes("mask", size=64, train=16 if small else 512, validation=8 if small else 64, test=8)


def streets(camvid: Path) -> cnnlab.data.Dataset:
    """Reads CamVid, and of its images every second row and column."""
    data = read_camvid(str(camvid))
    splits = {
        split: {name: examples.column(name)[:, ::2, ::2] for name in ("image", "mask")}
        for split, examples in data.splits.items()
    }
    return cnnlab.data.from_arrays(splits, classes=data.spec.classes, name="camvid")


def atlas_windows(atlas: Path, folder: Path) -> cnnlab.data.Dataset:
    """Cuts the atlas of Paris into windows of 96 pixels, with outlines 3 pixels wide, which `folder` keeps."""
    edges = np.asarray(Image.open(atlas / "edges.png").convert("L")) > 0
    folder.mkdir(parents=True, exist_ok=True)
    outlines = folder / "outlines.png"
    Image.fromarray(255 * ndimage.binary_dilation(edges, np.ones((3, 3))).astype(np.uint8)).save(outlines)
    options = {"content": str(atlas / "content.png"), "classes": ("shape", "outline"), "window": 96, "crops": 400}
    return cnnlab.data.sheet(
        str(atlas / "sheet.jpg"), str(outlines), **options, validation=(4800, 5400), test=(5400, 6288)
    )


def maps(trained: cnnlab.Trained, images: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns E[y] and Var[y] over MC-Dropout passes, `[n, classes, H, W]`."""
    passes = cnnlab.mc_predict(trained, images, key=jax.random.key(0), num_samples=samples)
    return tuple(np.moveaxis(np.asarray(part), -1, 1) for part in (passes.mean, passes.variance))


def step_times(plans: Sequence[Plan]) -> np.ndarray:
    """Returns the median seconds of a training step of each plan; the plans take turns."""
    steps, states, batches = [], [], []
    for plan in plans:
        options = {"network": plan.network, "task": plan.task, "optimizer": plan.optimizer(), "key": plan.key}
        steps.append(_step(plan, options))
        order = {"batch_size": plan.training.batch_size, "seed": 0, "epoch": 0}
        batches.append(next(iter(training_batches(plan.dataset["train"], **order))))
        states.append(create_state(plan.network, options["optimizer"], batches[-1]["image"], plan.key))
    seconds = np.zeros((ROUNDS + 1, len(plans)))
    for turn, number in np.ndindex(seconds.shape):
        started = time.perf_counter()
        states[number], metrics = steps[number](states[number], batches[number])
        jax.block_until_ready(metrics)
        seconds[turn, number] = time.perf_counter() - started
    return np.median(seconds[1:], 0)  # the first round compiles


def _step(plan: Plan, options: dict[str, Any]) -> Any:
    def prepare(batch, key):
        return prepare_batch(batch, key, spec=plan.dataset.spec, augmentation=AUGMENTATION)

    return cnnlab.jit(lambda state, batch: train_step(state, batch, prepare=prepare, **options), donate_argnums=0)


def draw(pictures: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]], output: Path) -> None:
    """Draws the middle of an image and of Var[y] of each network, one row per data set."""
    figure, axes = new_figure(len(pictures), 1 + len(UPS), size=(3.2 * (1 + len(UPS)), 3.2 * len(pictures)))
    for row, (name, (image, variances)) in zip(axes, pictures.items(), strict=True):
        row[0].imshow(_middle(image).squeeze(), cmap="gray")
        row[0].set_ylabel(name)
        row[0].set_title("image")
        for axis, (up, variance) in zip(row[1:], variances.items(), strict=True):
            axis.imshow(_middle(variance), cmap="magma", interpolation="nearest")
            axis.set_title(f"Var[y], {up}")
        for axis in row:
            axis.set(xticks=[], yticks=[])
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "upsampling.png", dpi=90)
    print(output / "upsampling.png")


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = ((side - SHOWN) // 2 for side in image.shape[:2])
    return image[max(top, 0) : top + SHOWN, max(left, 0) : left + SHOWN]


def main(
    camvid: Path | None = None,
    atlas: Path | None = None,
    seeds: int = 3,
    output: Path = Path("runs/upsampling"),
    images: int = 16,
    samples: int = 20,
    small: bool = False,
    recording: Options = OFF,
) -> dict[tuple[str, str], Table]:
    """Trains each network on each data set, prints the values and draws the variances.

    Args:
        camvid: directory of CamVid; it is left out without one.
        atlas: directory of the atlas of Paris; it is left out without one.
        seeds: number of seeds of initialisation, order, augmentation and dropout.
        output: directory of the runs and of the figure.
        images: number of validation images whose maps are measured.
        samples: number of MC-Dropout passes.
        small: few drawn shapes, for a test.
        recording: whether the results are stored.
    """
    keep_compilations()
    data = {"drawn shapes": shapes(small)}
    data |= {} if camvid is None else {"CamVid": streets(camvid)}
    data |= {} if atlas is None else {"Paris, atlas of 1926": atlas_windows(atlas, output)}
    tables, pictures = {}, {}
    for name, dataset in data.items():
        some = dataset["validation"].column("image")[np.arange(min(images, len(dataset["validation"])))]
        rows: dict[str, list[dict[str, float]]] = {up: [] for up in UPS}
        variances = {}
        for seed in range(seeds):
            plans = {}
            for up in UPS:
                choice = EXPERIMENT.model.replace(up=up)
                plans[up] = make_plan(dataclasses.replace(EXPERIMENT, model=choice, seed=seed), data=dataset)
                trained = train_plan(plans[up], output / name.replace(" ", "_") / f"{up}{seed}", quiet=True)
                mean, variance = maps(trained, some, samples)
                report = cnnlab.evaluate(trained, dataset, split="validation")
                powers = {"grid power of E[y]": grid_power(mean), "grid power of Var[y]": grid_power(variance)}
                rows[up].append({"mean_iou": report["mean_iou"]} | powers)
                if seed == 0:
                    variances[up] = variance[0, 1:].sum(0)
                print(f"{name}, {up}, seed {seed}: {rows[up][-1]}", flush=True)
            seconds = step_times(list(plans.values()))
            for up, ratio in zip(UPS, seconds / seconds[0], strict=True):
                rows[up][-1]["time per step, ratio"] = ratio
        pictures[name] = some[0], variances
        for up in UPS:
            tables[name, up] = {metric: np.array([row[metric] for row in rows[up]]) for metric in rows[up][0]}
            show(f"{name}, U-Net, up {up}", tables[name, up], recording, group="segmentation")
    draw(pictures, output)
    return tables


if __name__ == "__main__":
    tyro.cli(main)
