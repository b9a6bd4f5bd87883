"""Segmentation of buildings from the air: 25 patches to learn from, and augmentation.

    python experiments/buildings_aerial.py --buildings DIR [--seeds 3] [--runs runs/buildings_aerial] [--record]

DIR holds `train`, `val` and `test`, each with `images` and `gt`: 256x256 patches of Austin and Chicago (github.com/
arghadeep25/Building-Footprint-Extraction-from-High-Resolution-Satellite-Images; no licence is stated, so for a local
experiment only). The splits are its own: 25, 9 and 7 patches. The networks learn at half of the resolution, where a
step costs a quarter and the receptive field covers twice as much. They predict patches at a slightly smaller size.
Predictions are averaged over eight flips and quarter turns, and scored at full resolution, above the threshold that is
best on the validation patches.

The networks stay below the goal, an IoU of .65 for buildings on the test patches. Some of the training masks are not
those of their patches.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.uncertainty import augmented_predict

THRESHOLDS = np.arange(0.1, 0.91, 0.05)

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=16, spatial_dropout=0.1, up="transposed"),
    task=cnnlab.Choice("segmentation", kind=("cross_entropy", "dice")),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", weight_decay=0.05),
    training=cnnlab.Training(
        epochs=600,
        batch_size=5,
        augmentation=cnnlab.data.Augmentation(
            horizontal_flip=0.5,
            vertical_flip=0.5,
            quarter_turns=True,
            rotation=20,
            zoom=0.3,
            shift=0.1,
            brightness=0.15,
            contrast=0.3,
            saturation=0.3,
        ),
    ),
)


def main(
    buildings: Path,
    seeds: int = 3,
    runs: Path = Path("runs/buildings_aerial"),
    epochs: int | None = None,
    width: int = 16,
    depth: int = 4,
    side: int = 128,
    answered: int = 112,
    recording: Options = OFF,
) -> Table:
    """Trains one network for each seed and prints the IoU of buildings, for the networks alone and together.

    Args:
        buildings: directory of the data.
        seeds: number of seeds of initialisation, order, augmentation and dropout.
        runs: folder of the run directories.
        epochs: smaller number of epochs, for a test.
        width: channels of the first block.
        depth: number of poolings.
        side: height and width of the patches in training, in pixels.
        answered: height and width of the patches in prediction, in pixels.
        recording: whether the results are stored.
    """
    pairs = cnnlab.Choice("pairs", path=str(buildings.resolve()), masks="gt", classes=("other", "building"))
    experiment = dataclasses.replace(
        EXPERIMENT,
        model=EXPERIMENT.model.replace(width=width, depth=depth),
        data=pairs.replace(size=side),
        training=dataclasses.replace(EXPERIMENT.training, epochs=epochs or EXPERIMENT.training.epochs),
    )
    whole, small = cnnlab.data.pairs(**pairs.options), cnnlab.data.pairs(**pairs.options, size=answered)
    truth = {split: whole[split].column("mask") == 1 for split in ("validation", "test")}
    predictions = []
    for seed in range(seeds):
        trained = cnnlab.train(dataclasses.replace(experiment, seed=seed), runs / f"seed{seed}")
        predictions.append(
            {split: predict(trained, small[split].column("image"), truth[split].shape) for split in truth}
        )
    rows = [score(probabilities, truth) for probabilities in predictions]
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    show("Aerial buildings, U-Net", table, recording, group="segmentation")
    together = score({split: np.mean([each[split] for each in predictions], 0) for split in truth}, truth)
    show("Aerial buildings, the networks together", together, recording, group="segmentation")
    return table | {f"together {name}": np.array([value]) for name, value in together.items()}


def predict(trained: cnnlab.Trained, images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the probability of a building `[n, H, W]`."""
    return np.asarray(
        jax.image.resize(augmented_predict(trained, images, views="dihedral").probs[..., 1], shape, "linear")
    )


def score(probability: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the IoU of the test split above the threshold that is best on the validation split."""
    best = max(THRESHOLDS, key=lambda threshold: iou(probability["validation"] > threshold, truth["validation"]))
    return {
        "validation IoU": iou(probability["validation"] > best, truth["validation"]),
        "threshold": float(best),
        "IoU": iou(probability["test"] > best, truth["test"]),
        "IoU above .5": iou(probability["test"] > 0.5, truth["test"]),
    }


def iou(guess: np.ndarray, truth: np.ndarray) -> float:
    """Computes the intersection over union of two masks."""
    return float((guess & truth).sum() / max((guess | truth).sum(), 1))


if __name__ == "__main__":
    tyro.cli(main)
