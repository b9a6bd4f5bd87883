"""Segmentation of nerve cell membranes in electron microscopy: U-Net's own task, by number of training sections.

    python experiments/isbi_membrane_unet.py --isbi DIR [--folds 5] [--sections 22 12 6 3] [--record]

DIR holds `train/image` and `train/label`, the 30 labelled sections of the ISBI 2012 challenge (Cardona et al. 2010).
Every fold tests on six sections. Two of the others validate, and `sections` of them train. Fewer sections are repeated
more often, so that all networks take as many steps. Training and validation sections together choose the level.

Sections are learnt and predicted at half of their resolution, where membranes are still 3 pixels wide and a step costs
a quarter. Gaps between neighbouring cells weigh up to eleven times as much (Ronneberger et al. 2015, equation 2).
Predictions are averaged over two networks and eight flips and quarter turns. Cells are the basins of a watershed (extra
`shapes`) of the membrane probability, which start where it is below the level. V-Rand and V-Info are those of the
challenge, with thinned borders (Arganda-Carreras et al. 2015), at full resolution.

The goal, a V-Rand of .97 with all sections, is missed by little. Fewer training sections do as well, so more sections
are not what is missing.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.losses import border_weights
from cnnlab.metrics.segmentation.panoptic import basins, require_watershed, shapes
from cnnlab.metrics.segmentation.rand import Agreement, partition_agreement
from cnnlab.uncertainty import augmented_predict

LEVELS = np.arange(0.05, 0.51, 0.05)  # membrane probabilities below which cells begin
SMALLEST = 20  # smallest start of a cell in pixels
GAP = 3.0  # sigma of the paper's weights in pixels of half the resolution

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=16, spatial_dropout=0.1, up="transposed"),
    task=cnnlab.Choice("segmentation"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.01),
    training=cnnlab.Training(
        epochs=120,
        batch_size=2,
        augmentation=cnnlab.data.Augmentation(
            horizontal_flip=0.5, vertical_flip=0.5, quarter_turns=True, rotation=10, elastic=10, brightness=0.1
        ),
    ),
)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads all labelled sections: images `[n, H, W, 1]` and masks `[n, H, W]` with 1 for a cell."""
    options = {"images": "image", "masks": "label", "channels": 1, "validation": 0.1, "test": 0.1}
    data = cnnlab.data.pairs(str(path / "train"), **options)
    splits = ("train", "validation", "test")
    images, masks = (np.concatenate([data[split].column(name) for split in splits]) for name in ("image", "mask"))
    return images, masks


def halved(images: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Returns images and masks at half of their resolution, and the weight of each pixel."""
    n, height, width, _ = images.shape
    means = [array.reshape(n, height // 2, 2, width // 2, 2).mean((2, 4)) for array in (images, masks)]
    small = (means[1] >= 0.5).astype(np.int32)
    weights = np.stack([border_weights(mask, width=GAP) for mask in small])
    return {"image": means[0].round().astype(np.uint8)[..., None], "mask": small, "pixel_weight": weights}


def fold(n: int, place: int, folds: int, sections: int) -> dict[str, np.ndarray]:
    """Splits n sections: every `folds`-th from `place` on tests, two of the others validate and `sections` train."""
    test = np.arange(n) % folds == place
    rest = np.random.default_rng(place).permutation(np.flatnonzero(~test))
    return {"train": rest[2:][:sections], "validation": rest[:2], "test": np.flatnonzero(test)}


def membranes(networks: list[cnnlab.Trained], images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the membrane probability `[n, H, W]` at full resolution, the mean over networks and views."""

    def predict(image: np.ndarray) -> jax.Array:
        each = [augmented_predict(network, image[None], views="dihedral").probs[0, ..., 0] for network in networks]
        return jax.image.resize(sum(each) / len(each), size, "linear")

    return np.stack([predict(image) for image in images])


def agreement(membrane: np.ndarray, masks: np.ndarray, level: float) -> Agreement:
    """Computes V-Rand and V-Info of the basins between membranes, the mean over sections."""
    cells = [basins(section, level, min_size=SMALLEST) for section in membrane]
    each = [partition_agreement(section, shapes(mask == 1)) for section, mask in zip(cells, masks, strict=True)]
    return Agreement(*np.mean(each, 0).tolist())


def main(
    isbi: Path,
    folds: int = 5,
    sections: tuple[int, ...] = (22, 12, 6, 3),
    runs: Path = Path("runs/isbi_membrane"),
    networks: int = 2,
    epochs: int | None = None,
    width: int = 16,
    depth: int = 4,
    recording: Options = OFF,
) -> dict[int, Table]:
    """Trains for each fold and number of sections, and prints V-Rand and V-Info.

    Args:
        isbi: directory of the data.
        folds: number of parts, each of which is the test split once.
        sections: numbers of training sections.
        runs: folder of the run directories.
        networks: number of networks whose predictions are averaged.
        epochs: number of epochs with the most sections.
        width: channels of the first block.
        depth: number of poolings.
        recording: whether the results are stored.
    """
    require_watershed()  # fails before the training if the extra is missing
    images, masks = read(isbi)
    columns, tables = halved(images, masks), {}
    for number in sections:
        often = round((epochs or EXPERIMENT.training.epochs) * max(sections) / number)
        experiment = dataclasses.replace(
            EXPERIMENT,
            model=EXPERIMENT.model.replace(width=width, depth=depth),
            training=dataclasses.replace(EXPERIMENT.training, epochs=often),
        )
        rows = []
        for place in range(folds):
            chosen = fold(len(images), place, folds, number)
            splits = {split: {name: column[i] for name, column in columns.items()} for split, i in chosen.items()}
            data = cnnlab.data.from_arrays(splits, classes=("membrane", "cell"), name="isbi")
            trained = []
            for seed in range(networks):
                run = runs / f"sections{number}_fold{place}_seed{seed}"
                cnnlab.train(dataclasses.replace(experiment, seed=seed), run, data=data)
                trained.append(cnnlab.load(run, step="latest"))  # two sections are too few to choose an epoch
            known, test = np.concatenate([chosen["validation"], chosen["train"]]), chosen["test"]
            membrane = membranes(trained, columns["image"][known], masks.shape[1:])
            best = max(LEVELS, key=lambda level: agreement(membrane, masks[known], level).rand)
            membrane = membranes(trained, columns["image"][test], masks.shape[1:])
            scores = agreement(membrane, masks[test], best)
            accuracy = ((membrane < 0.5) == masks[test]).mean()
            rows.append(scores._asdict() | {"level": float(best), "pixel accuracy": accuracy})
            show(f"{number} sections, fold {place}", rows[-1], group="segmentation")
        tables[number] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        show(f"ISBI 2012, {number} sections, {folds} folds", tables[number], recording, group="segmentation")
    return tables


if __name__ == "__main__":
    tyro.cli(main)
