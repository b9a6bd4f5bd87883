"""Blood cells by the VGG-like Keras network: white cell, red cell or platelet, one cell a picture.

    python experiments/cells_keras_vgg.py --bccd DIR [--seeds 3] [--runs runs/cells_keras_vgg]

DIR is the BCCD dataset (github.com/Shenggan/BCCD_Dataset, MIT licence): 364 photos of blood smears with 4,888 boxes.
Each box, widened to a square, becomes a 100x100 picture in `RUNS/crops/<split>/<class>`. The photos' own splits are
kept, so no photo is both learnt from and tested on. Red cells are 85 % of all; balanced class weights make the rare
ones count.
Keras's example settings: SGD with rate .01, decay 1e-6, Nesterov momentum .9; and gradients clipped to a norm of 1,
without which one seed of three stayed at chance.
Measured on one core of an AMD EPYC, 2026-11-21, 80 to 170 s an epoch, 945 test cells (805 red, 71 white, 69 platelets),
mean ± standard deviation of 3 seeds: accuracy .9922 ± .0027, balanced .9652 ± .0117, NLL .0303 ± .0048, ECE .0052 ±
.0030 (noise floor .0036); over 20 passes .9915 ± .0048, balanced .9621 ± .0214, NLL .0321 ± .0053.
"""

import dataclasses
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import tyro
from PIL import Image
from study import Table, over_seeds, show

import cnnlab

CLASSES = {"WBC": "white", "RBC": "red", "Platelets": "platelet"}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
SIDE = 100

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("keras_vgg"),
    task=cnnlab.Choice("classification", class_weights="balanced"),
    optimizer=cnnlab.Optimizer(
        name="sgd",
        learning_rate=0.01,
        momentum=0.9,
        nesterov=True,
        schedule="inverse_time",
        decay_rate=1e-6,
        clip=1.0,
    ),
    training=cnnlab.Training(epochs=12, batch_size=32),
)


def cells(annotation: Path) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """The class and the box (xyxy in pixels) of every cell of a photo; boxes without area are left out."""
    for found in ElementTree.parse(annotation).iter("object"):
        left, top, right, bottom = (float(found.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
        if right > left and bottom > top:
            yield CLASSES[found.findtext("name")], (left, top, right, bottom)


def square(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """The smallest square around a box, on its centre.

    >>> square((10, 10, 30, 20))
    (10, 5, 30, 25)
    """
    left, top, right, bottom = box
    half, x, y = max(right - left, bottom - top) / 2, (left + right) / 2, (top + bottom) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


def cut(bccd: Path, target: Path) -> None:
    """Writes every cell as a picture of its own, once."""
    for listed, split in SPLITS.items():
        for name in (bccd / "ImageSets" / "Main" / f"{listed}.txt").read_text().split():
            photo = Image.open(bccd / "JPEGImages" / f"{name}.jpg").convert("RGB")
            for i, (kind, box) in enumerate(cells(bccd / "Annotations" / f"{name}.xml")):
                path = target / split / kind / f"{name}_{i:02}.png"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    photo.crop(square(box)).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(path)


def main(bccd: Path, seeds: int = 3, runs: Path = Path("runs/cells_keras_vgg"), epochs: int | None = None) -> Table:
    """Cuts the crops, trains once a seed and prints every metric.

    Args:
        bccd: the dataset's directory, with Annotations, ImageSets and JPEGImages.
        seeds: of initialisation, order and dropout.
        runs: where the crops and the run directories go.
        epochs: fewer, for a test.
    """
    crops = runs / "crops"
    cut(bccd, crops)
    data = cnnlab.Choice("folder", path=str(crops), size=SIDE)
    experiment = dataclasses.replace(EXPERIMENT, data=data)
    table = over_seeds(experiment, runs, seeds=seeds, epochs=epochs, mc_samples=20)
    show("blood cells, VGG-like Keras network", table)
    return table


if __name__ == "__main__":
    tyro.cli(main)
