"""The choice of network and augmentation for images of which a user says only where they lie."""

import dataclasses
import re

from cnnlab.data import Augmentation, Dataset
from cnnlab.training.experiment import Choice

SMALL = 32  # largest side in pixels of digits and the like, for which LeNet5 was made
MANY = 10_000  # training images from which a deeper network pays
_OF_CLASSES = ("classification", "ranking")  # tasks whose images have classes
FULL_SIDE = 64  # largest side in pixels of photos whose first convolution keeps their size

PHOTOS = Augmentation(shift=0.08, rotation=10.0, zoom=0.15, border="edge", brightness=0.1, contrast=0.2)
"""Augmentation that keeps the class of a photo; `may_flip` says whether mirror images keep it too."""

_DIRECTIONS = {"left", "right"}


def choose(
    model: Choice, augmentation: Augmentation, dataset: Dataset, task: str
) -> tuple[Choice, Augmentation, str | None]:
    """Resolves `Choice("auto")` from the training images.

    Photos, which are images from files that have colours or more than 32 pixels a side, get `resnet8`, in a
    classification or ranking, and `resnet20` if 10,000 or more are for training. Above 64 pixels its first layers
    quarter height and width, so that a first run stays quick, and it is twice as wide. If no augmentation is set,
    photos are shifted, rotated, zoomed and lit at random, and mirrored where `may_flip` allows.
    All other images get LeNet5 without augmentation. `docs/numbers.md` has the measurements behind this rule.

    Args:
      model: the choice `auto`; its options, such as `dropout`, pass to the network.
      augmentation: augmentation of the experiment, which is kept unless all of it is off.
      dataset: the data.
      task: name of the task.

    Returns:
      Network, augmentation, and a sentence that says them with the flags that change them; None for images that come
      from no files.
    """
    height, width, channels = dataset.spec.shape
    from_files = task in _OF_CLASSES and getattr(dataset["train"], "files", None) is not None
    if not from_files or (channels == 1 and max(height, width) <= SMALL):
        kind = f"small grey images of {height}×{width} pixels"
        return Choice("lenet5", **model.options), augmentation, _sentence(kind, "lenet5", "") if from_files else None
    form = {"stem": "small", "width": 16} if max(height, width) <= FULL_SIDE else {"stem": "photo", "width": 32}
    many = len(dataset["train"]) >= MANY
    name, kind = ("resnet20", f"{len(dataset['train']):,} photos") if many else ("resnet8", "photos")
    network = Choice(name, **(form | {"shortcut": "project", "dropout": 0.3} | model.options))
    if augmentation != Augmentation():
        return network, augmentation, _sentence(kind, name, "your augmentation")
    flip = may_flip(dataset.spec.classes)
    words = f"random shifts, rotations, zooms and light{', and mirror images' if flip else ', no mirror images'}"
    photos = dataclasses.replace(PHOTOS, horizontal_flip=0.5 if flip else 0.0)
    return network, photos, _sentence(kind, name, words)


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


def options(dropout: float = 0.3) -> None:
    """Describes the options of `--model.name auto`.

    Args:
      dropout: dropout rate before the last layer of a residual network, or after the hidden layers of a lenet5.
    """


def _sentence(kind: str, network: str, augmentation: str) -> str:
    return (
        f"chosen for {kind}: {network} with {augmentation or 'no augmentation'}; --model.name and "
        "--training.augmentation.* choose others"
    )
