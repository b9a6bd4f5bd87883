"""The pictures that a training leaves in its run directory."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnlab.compile import jit
from cnnlab.data import Dataset, augment
from cnnlab.plots import figures as plots
from cnnlab.training.experiment import Experiment
from cnnlab.training.restore import load_config
from cnnlab.training.run import read_history


def save_figures(figures: Mapping[str, Any], directory: Path) -> list[Path]:
    """Writes each matplotlib figure as `directory/NAME.png` and returns the paths; a $ in a name is no formula.

    A name may be within a folder: `images/0007`.
    """
    from matplotlib.text import Text

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        for text in figure.findobj(lambda part: isinstance(part, Text) and "$" in part.get_text()):
            text.set_parse_math("\\mathdefault" in text.get_text())  # a logarithmic axis's own
        paths.append(directory / f"{name}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        figure.savefig(paths[-1], bbox_inches="tight")
    return paths


def white(name: str, num_classes: int, largest: float) -> float:
    """The value that is white in a picture of a segmentation's map: of a mask, which holds indices, 255.

    Variance and mutual information would be black against the most that they can be: of them it is the largest found.

    >>> white("mean", 2, 0.9), white("variance", 2, 0.03)
    (1.0, 0.03)
    """
    fixed = {"mask": 255.0, "mean": 1.0, "entropy": float(np.log(num_classes))}
    return fixed.get(name, float(largest) if largest > 0 else 1.0)


def told_white(top: float) -> Any:
    """The text `white` of a PNG, by which pixels become values again: `pixel / 255 * white`."""
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("white", f"{top:.9g}")
    return note


def class_colours(k: int) -> np.ndarray:
    """A palette `[256, 3]` uint8 for pictures of indices: the colours that k classes have in figures, then black.

    >>> class_colours(2)[:3].tolist()
    [[31, 119, 180], [255, 127, 14], [0, 0, 0]]
    """
    from matplotlib import colormaps

    colours = np.array(colormaps["tab10" if k <= 10 else "tab20"].colors)
    table = np.zeros((256, 3), np.uint8)
    table[:k] = np.round(255 * colours[np.arange(k) % len(colours)])
    return table


def training_curves(run: str | Path, directory: Path) -> list[Path]:
    """Loss and monitored metric of a run's epochs."""
    monitor = load_config(run)["monitor"]
    figure = plots.curves(read_history(Path(run)), monitor["metric"], maximise=monitor["maximise"])
    return save_figures({"curves": figure}, directory)


def augmentation_sheet(
    experiment: Experiment, dataset: Dataset, directory: Path, *, examples: int = 8, draws: int = 3
) -> list[Path]:
    """What a run is trained on: examples as they are above several draws of each; none where nothing is augmented."""
    augmentation = experiment.training.augmentation
    if not (augmentation.moves or augmentation.recolours):
        return []
    batch = dataset["train"][np.arange(min(examples, len(dataset["train"])))]
    program = jit(functools.partial(augment, augmentation=augmentation))
    drawn = [jax.device_get(program(batch, key)) for key in jax.random.split(jax.random.key(experiment.seed), draws)]
    sheet = plots.augmentations([batch, *drawn], ["original", *["drawn"] * draws], dataset.spec.classes)
    return save_figures({"augmentation": sheet}, directory)


def save_example(dataset: Dataset, path: Path) -> Path:
    """Writes the first test image, to try a prediction with."""
    from PIL import Image

    image = dataset["test"][np.arange(1)]["image"][0]
    image = image if image.dtype == np.uint8 else np.round(image * 255).astype(np.uint8)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)
    return path
