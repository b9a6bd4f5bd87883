"""How U-Net doubles its maps: mean IoU, chequerboards of E[y] and Var[y], and time per step after short trainings.

    python experiments/upsampling.py --camvid DIR --atlas DIR [--seeds 3] [--output runs/upsampling] [--record]

CAMVID and ATLAS are the folders of `camvid_bayesian.py` and `paris_atlas_unet.py`. The third data set are drawn shapes.
Each network is trained for five epochs, with a 2x2 transposed convolution, or with a 1x1 convolution that is
interpolated. All values are those of validation images. The grid power of `cnnlab.metrics.segmentation.grids` is that
of the maps of all classes. The networks take turns step by step, and the times are medians, as a ratio to the
transposed convolution.
`OUTPUT/upsampling.png` shows Var[y] of one validation image in each data set.
"""

import dataclasses
import time
from collections.abc import Callable
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
from cnnlab.metrics.segmentation.confusion import confusion_matrix, scores
from cnnlab.metrics.segmentation.grids import grid_power
from cnnlab.plots.canvas import new_figure
from cnnlab.runtime.compile_cache import keep_compilations
from cnnlab.training.loop import prepare_batch
from cnnlab.training.plan import Plan, make_plan
from cnnlab.training.restore import evaluated_variables
from cnnlab.training.step import State, create_state, train_step

UPS = ("transposed", "bilinear", "nearest")
AUGMENTATION = cnnlab.data.Augmentation(horizontal_flip=0.5)
EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=8, depth=3, spatial_dropout=0.1),
    task=cnnlab.Choice("segmentation"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=5, batch_size=8, augmentation=AUGMENTATION),
)
SHOWN = 64  # rows and columns of the part in the figure


def shapes(small: bool = False) -> cnnlab.data.Dataset:
    """Draws shapes of 64x64 pixels; fewer of them for a test."""
    return cnnlab.data.shapes("mask", size=64, train=16 if small else 1024, validation=8 if small else 64, test=8)


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


def train_in_turns(
    plans: dict[str, Plan], steps: dict[str, Callable[..., Any]]
) -> tuple[dict[str, cnnlab.Trained], dict[str, float]]:
    """Trains several networks that take turns step by step; returns them and the median seconds of a step of each."""
    first = next(iter(plans.values()))
    states: dict[str, State] = {}
    seconds: dict[str, list[float]] = {up: [] for up in plans}
    for epoch in range(first.training.epochs):
        order = {"batch_size": first.training.batch_size, "seed": first.experiment.seed, "epoch": epoch}
        for batch in training_batches(first.dataset["train"], **order):
            for up, plan in plans.items():
                if up not in states:
                    states[up] = create_state(plan.network, plan.optimizer(), batch["image"], plan.key)
                started = time.perf_counter()
                states[up], metrics = steps[up](states[up], batch, plan.key)
                jax.block_until_ready(metrics)
                seconds[up].append(time.perf_counter() - started)
    trained = {
        up: cnnlab.Trained(evaluated_variables(states[up]), plan.network, plan.task, plan.dataset.spec)
        for up, plan in plans.items()
    }
    return trained, {up: float(np.median(each)) for up, each in seconds.items()}


def make_step(plan: Plan) -> Callable[..., Any]:
    """Compiles a training step of a plan, which the plans of other seeds can use too."""
    options = {"network": plan.network, "task": plan.task, "optimizer": plan.optimizer()}

    def prepare(batch, key):
        return prepare_batch(batch, key, spec=plan.dataset.spec, augmentation=AUGMENTATION)

    def step(state, batch, key):
        return train_step(state, batch, prepare=prepare, key=key, **options)

    return cnnlab.jit(step, donate_argnums=0)


def validate(
    trained: cnnlab.Trained, dataset: cnnlab.data.Dataset, images: int, samples: int
) -> tuple[dict[str, float], np.ndarray]:
    """Returns the mean IoU of the validation split, the grid powers of some images, and Var[y] of the first of them."""
    split = dataset["validation"]
    counts = 0
    for start in range(0, len(split) - images + 1, images):
        chosen = np.arange(start, start + images)
        guess = np.asarray(cnnlab.predict(trained, split.column("image")[chosen]).mask)
        counts += confusion_matrix(guess, split.column("mask")[chosen], len(dataset.spec.classes))
    some = split.column("image")[np.arange(images)]
    passes = cnnlab.mc_predict(trained, some, key=jax.random.key(0), num_samples=samples)
    mean, variance = (np.moveaxis(np.asarray(part), -1, 1) for part in (passes.mean, passes.variance))
    row = {"mean_iou": scores(counts)["mean_iou"]}
    return row | {"grid power of E[y]": grid_power(mean), "grid power of Var[y]": grid_power(variance)}, variance[0]


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
        output: directory of the figure.
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
        few = min(images, len(dataset["validation"]))
        rows: dict[str, list[dict[str, float]]] = {up: [] for up in UPS}
        steps: dict[str, Callable[..., Any]] = {}
        for seed in range(seeds):
            plans = {
                up: make_plan(
                    dataclasses.replace(EXPERIMENT, model=EXPERIMENT.model.replace(up=up), seed=seed), data=dataset
                )
                for up in UPS
            }
            steps = steps or {up: make_step(plan) for up, plan in plans.items()}
            networks, seconds = train_in_turns(plans, steps)
            variances = {}
            for up, trained in networks.items():
                row, variance = validate(trained, dataset, few, samples)
                rows[up].append(row | {"time per step, of transposed": seconds[up] / seconds[UPS[0]]})
                variances[up] = variance[1:].sum(0)
                print(f"{name}, {up}, seed {seed}: {rows[up][-1]}", flush=True)
            if seed == 0:
                pictures[name] = dataset["validation"].column("image")[np.arange(1)][0], variances
        for up in UPS:
            tables[name, up] = {metric: np.array([row[metric] for row in rows[up]]) for metric in rows[up][0]}
            show(f"{name}, U-Net, up {up}", tables[name, up], recording, group="segmentation")
    draw(pictures, output)
    return tables


if __name__ == "__main__":
    tyro.cli(main)
