"""The choice of network and augmentation for images of which a user says only where they lie."""

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from cnnlab.data import Augmentation, Dataset
from cnnlab.training.experiment import Choice

SMALL = 32  # largest side in pixels of digits and the like, for which LeNet5 was made
MANY = 10_000  # training images from which a deeper network pays
FULL_SIDE = 64  # largest side in pixels of photos whose first convolution keeps their size

PHOTOS = Augmentation(shift=0.08, rotation=10.0, zoom=0.15, border="edge", brightness=0.1, contrast=0.2)
"""Augmentation that keeps the class of a photo; `may_flip` says whether mirror images keep it too."""

_DIRECTIONS = {"left", "right"}


NETWORKS = {
    "segmentation": Choice("unet", width=16, spatial_dropout=0.1),
    "detection": Choice("yolo_small"),
    "sequence": Choice("reader"),
    "denoising": Choice("tcn_steps"),
}
"""The network of each task that has one for data of any size; the images choose that of the other tasks."""


TASKS_OF_COLUMNS = {
    "pair": Choice("scoring"),
    "boxes": Choice("detection", kind="anchors"),
    "mask": Choice("segmentation"),
    "clean": Choice("denoising"),
    "text": Choice("sequence"),
    "target": Choice("regression"),
    "labels": Choice("classification", kind="multilabel"),
    "label": Choice("classification"),
}
"""The task that suits data with a column of annotations; of several columns the first counts."""


class Choices(NamedTuple):
    """The network and the augmentation that were chosen, and a sentence about them; None if it is not worth one."""

    model: Choice
    augmentation: Augmentation
    remark: str | None


def suited_task(dataset: Dataset) -> Choice:
    """Returns the task that suits a dataset's annotations; resolves `Choice("auto")`."""
    return TASKS_OF_COLUMNS[deciding_column(dataset)]


def deciding_column(dataset: Dataset) -> str:
    """Returns the column of annotations that decides the task of a dataset."""
    columns = dataset["train"][np.arange(1)]
    suited = [column for column in TASKS_OF_COLUMNS if column in columns]
    if not suited:
        known = ", ".join(TASKS_OF_COLUMNS)
        raise ValueError(f"{dataset.name} has none of the columns {known}, which decide the task; name one")
    return suited[0]


def fixed_network(task: str, *, signals: bool) -> Choice | None:
    """Returns the network of a task whose network does not depend on the images; None for the other tasks."""
    return NETWORKS.get(task, Choice("tcn") if signals else None)


def choose(model: Choice, augmentation: Augmentation, dataset: Dataset, task: str) -> Choices:
    """Resolves `Choice("auto")` by the task and the training images.

    Segmentation, detection, sequences and denoising get their network of `NETWORKS`, signals a `tcn`. Photos, which are
    images from files that have colours or more than 32 pixels a side, get `resnet8`, and `resnet20` if 10,000 or more
    are for training. Above 64 pixels its first layers quarter height and width, so that a first run stays quick, and it
    is twice as wide. If no augmentation is set, photos with classes are shifted, rotated, zoomed and lit at random, and
    mirrored where `may_flip` allows; a number or an order may change with any of this, so photos with numbers and pairs
    of photos are not. All other images get LeNet5 without augmentation. `docs/numbers.md` has the measurements behind
    this rule.

    Args:
      model: the choice `auto`; its option `dropout` passes to the network.
      augmentation: augmentation of the experiment, which is kept unless all of it is off.
      dataset: the data.
      task: name of the task.

    Returns:
      Network, augmentation, and a sentence that says them with the flags that change them; None for images that come
      from no files.
    """
    rate = model.options.get("dropout")
    if fixed := fixed_network(task, signals=dataset.spec.values == "signal"):
        network = _with_dropout(fixed, rate)
        return Choices(network, augmentation, _sentence(task, network.name, augmentation))
    height, width, channels = dataset.spec.shape
    if getattr(dataset["train"], "files", None) is None:
        return Choices(Choice("lenet5", **model.options), augmentation, None)
    dropout = 0.3 if rate is None else rate
    if channels == 1 and max(height, width) <= SMALL:
        kind = f"small grey images of {height}×{width} pixels"
        return Choices(Choice("lenet5", dropout=dropout), augmentation, _sentence(kind, "lenet5", augmentation))
    form = {"stem": "small", "width": 16} if max(height, width) <= FULL_SIDE else {"stem": "photo", "width": 32}
    many = len(dataset["train"]) >= MANY
    name, kind = ("resnet20", f"{len(dataset['train']):,} photos") if many else ("resnet8", "photos")
    network = Choice(name, **form, shortcut="project", dropout=dropout)
    if augmentation != Augmentation() or task in ("regression", "scoring"):
        return Choices(network, augmentation, _sentence(kind, name, augmentation))
    flip = may_flip(dataset.spec.classes)
    words = f"random shifts, rotations, zooms and light{', and mirror images' if flip else ', no mirror images'}"
    photos = dataclasses.replace(PHOTOS, horizontal_flip=0.5 if flip else 0.0)
    return Choices(network, photos, _sentence(kind, name, words))


def _with_dropout(network: Choice, rate: float | None) -> Choice:
    """Returns the network with this rate of its only kind of dropout; None keeps its own."""
    field = "spatial_dropout" if network.name in ("unet", "yolo_small") else "dropout"
    return network if rate is None else network.replace(**{field: rate})


def may_flip(classes: tuple[str, ...]) -> bool:
    """Returns whether a mirror image keeps its class, judged by the names of the classes.

    It does not if a class is called by a number, by a single letter, or by left or right: then the images are digits,
    letters or directions.

    >>> may_flip(("cat", "dog")), may_flip(("0", "1")), may_flip(("A", "B")), may_flip(("turn_left", "straight"))
    (True, False, False, False)
    """
    words = [set(re.findall(r"[^\W_]+", name.lower())) for name in classes]
    return not any(
        len(name) == 1 or name.isdigit() or own & _DIRECTIONS for name, own in zip(classes, words, strict=True)
    )


def options(dropout: float | None = None) -> None:
    """Describes the options of `--model.name auto`.

    Args:
      dropout: dropout rate before the last layer of a residual network, after the hidden layers of a lenet5, of whole
        feature maps in a unet or yolo_small; by default that of the chosen network.
    """


def _sentence(kind: str, network: str, augmentation: str | Augmentation) -> str:
    if isinstance(augmentation, Augmentation):
        augmentation = "no augmentation" if augmentation == Augmentation() else "your augmentation"
    return f"chosen for {kind}: {network} with {augmentation}; --model.name and --training.augmentation.* choose others"
