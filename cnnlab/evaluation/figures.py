"""The figures that training stores in its run directory."""

import functools
from pathlib import Path

import jax
import numpy as np

from cnnlab.data import Dataset, augment
from cnnlab.files.atomic import replacing
from cnnlab.files.figures import FigureFormat, save_figures
from cnnlab.plots.augmentations import augmentations
from cnnlab.plots.curves import curves
from cnnlab.runtime.compile import jit
from cnnlab.training.experiment import Experiment
from cnnlab.training.restore import load_config
from cnnlab.training.run import read_history


def training_curves(run: str | Path, directory: Path, *, figure_format: FigureFormat = "png") -> list[Path]:
    """Draws the loss and the monitored metric of a run against epochs."""
    monitor = load_config(run)["monitor"]
    figure = curves(read_history(Path(run)), monitor["metric"], maximise=monitor["maximise"])
    return save_figures({"curves": figure}, directory, figure_format=figure_format)


def augmentation_sheet(
    experiment: Experiment,
    dataset: Dataset,
    directory: Path,
    *,
    examples: int = 8,
    draws: int = 3,
    figure_format: FigureFormat = "png",
) -> list[Path]:
    """Draws training examples above augmented versions of each; writes no figure if nothing is augmented."""
    augmentation = experiment.training.augmentation
    if not (augmentation.moves or augmentation.recolours):
        return []
    batch = dataset["train"][np.arange(min(examples, len(dataset["train"])))]
    program = jit(functools.partial(augment, augmentation=augmentation))
    drawn = [jax.device_get(program(batch, key)) for key in jax.random.split(jax.random.key(experiment.seed), draws)]
    sheet = augmentations([batch, *drawn], ["original", *["drawn"] * draws], dataset.spec.classes)
    return save_figures({"augmentation": sheet}, directory, figure_format=figure_format)


def save_example(dataset: Dataset, path: Path) -> Path | None:
    """Writes the first test image to a file, on which a prediction can be tried; None for signals."""
    from PIL import Image

    if dataset.spec.values == "signal":
        return None
    image = dataset["test"][np.arange(1)]["image"][0]
    image = image if image.dtype == np.uint8 else np.round(image * 255).astype(np.uint8)
    with replacing(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, format="png")
    return path
