"""The registry of dataset sources by name.

A new source is a file here with a function that returns a `Dataset`, and an entry in `SOURCES`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cnnlab.data.annotations import find_format, holds_masks
from cnnlab.data.dataset import Dataset
from cnnlab.data.sources.detection_folder import boxes
from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.folder import folder
from cnnlab.data.sources.pairs import pairs
from cnnlab.data.sources.shapes import shapes
from cnnlab.data.sources.sheet import sheet
from cnnlab.data.sources.standard import cifar10, fashion_mnist, kmnist, mnist
from cnnlab.data.sources.strokes import strokes
from cnnlab.data.sources.tfds import tfds
from cnnlab.errors import unknown


class Source(NamedTuple):
    """One source of datasets.

    Attributes:
      build: function of keyword options that returns a `Dataset`.
      paths: options that name files or folders; `--data.path` sets the first one.
      detect: function that returns whether the folder of `--data.path` belongs to this source, for users who name no
        source.
      command: command that trains on the source; None for a set that `data list` describes in another way.
      moves: options that say where prepared data lies and do not change the data.
    """

    build: Callable[..., Dataset]
    paths: tuple[str, ...] = ()
    detect: Callable[[Path], Any] | None = None
    command: str | None = None
    moves: tuple[str, ...] = ()


_MASKED = "--task.name segmentation --model.name unet"

SOURCES: dict[str, Source] = {
    "digits": Source(digits, command="cnnlab train --data.name digits"),
    "strokes": Source(strokes, command="cnnlab train strokes-lenet5"),
    "folder": Source(
        folder, ("path",), command="cnnlab train --data.path DIR (images in DIR/CLASS, or DIR/targets.csv)"
    ),
    "pairs": Source(
        pairs, ("path",), holds_masks, f"cnnlab train --data.path DIR {_MASKED} (DIR/images and DIR/masks)"
    ),
    "sheet": Source(
        sheet,
        ("path", "mask", "content"),
        command="cnnlab train --data.name sheet --data.path IMAGE --data.mask MASK --data.validation 4800 5400 "
        f"--data.test 5400 6288 {_MASKED} (columns of one annotated sheet)",
    ),
    "boxes": Source(
        boxes,
        ("path",),
        find_format,
        "cnnlab train --data.path DIR --task.name detection --model.name yolo_small (VOC, COCO or YOLO files)",
    ),
    "mnist": Source(mnist, moves=("data_dir",)),
    "fashion_mnist": Source(fashion_mnist, moves=("data_dir",)),
    "kmnist": Source(kmnist, moves=("data_dir",)),
    "cifar10": Source(cifar10, moves=("data_dir",)),
    "tfds": Source(tfds, moves=("data_dir",)),
    "shapes": Source(shapes, command="cnnlab train --data.name shapes"),
}
"""Sources by name. A folder belongs to the first source whose `detect` accepts it."""


def register(name: str, source: Callable[..., Dataset]) -> None:
    """Registers `source(**options)`, a function that returns a `Dataset`, for `--data.name NAME`."""
    SOURCES[name] = Source(source)


def load_data(name: str, **options) -> Dataset:
    """Loads the dataset of the source with that name.

    >>> load_data("digits").spec.shape
    (28, 28, 1)
    """
    if name not in SOURCES:
        raise unknown("data", name, SOURCES)
    return SOURCES[name].build(**options)


def detect_source(path: Path) -> str:
    """Returns the name of the source that reads a folder, judged by its content; `folder` if no other source fits."""
    return next(
        (name for name, source in SOURCES.items() if source.detect is not None and source.detect(path)), "folder"
    )


def places() -> frozenset[str]:
    """Returns the options that say where data lies, because data that was moved is still the same data."""
    return frozenset(option for source in SOURCES.values() for option in (*source.paths, *source.moves))


__all__ = ["SOURCES", "Source", "detect_source", "load_data", "places", "register"]
