"""Data by name. A new source is a file here, with a function that returns a `Dataset`, and a line in `SOURCES`."""

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
from cnnlab.data.sources.tfds import tfds
from cnnlab.errors import unknown


class Source(NamedTuple):
    """What the package must know of one source.

    Attributes:
      build: a function of keyword options that returns a `Dataset`.
      paths: options that name files or folders; the first one is what `--data.path` gives.
      detect: whether a folder given by `--data.path` alone is of this source.
      command: how a user trains on it; None for a set that `data list` describes in another way.
      moves: options that say where prepared data lies, not what it is.
    """

    build: Callable[..., Dataset]
    paths: tuple[str, ...] = ()
    detect: Callable[[Path], Any] | None = None
    command: str | None = None
    moves: tuple[str, ...] = ()


_MASKED = "--task.name segmentation --model.name unet"

SOURCES: dict[str, Source] = {
    "digits": Source(digits, command="cnnlab train --data.name digits"),
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
"""Sources by name. A folder is of the first source whose `detect` says so."""


def register(name: str, source: Callable[..., Dataset]) -> None:
    """Makes `--data.name NAME` call `source(**options)`, a function that returns a `Dataset`."""
    SOURCES[name] = Source(source)


def load_data(name: str, **options) -> Dataset:
    """Returns the dataset of that name.

    >>> load_data("digits").spec.shape
    (28, 28, 1)
    """
    if name not in SOURCES:
        raise unknown("data", name, SOURCES)
    return SOURCES[name].build(**options)


def detect_source(path: Path) -> str:
    """Returns the name of the source that reads a folder, by what lies in it; `folder` where no other fits."""
    return next((name for name, one in SOURCES.items() if one.detect is not None and one.detect(path)), "folder")


def places() -> frozenset[str]:
    """Returns the options that say where data lies, not what it is: data that has moved is the same data."""
    return frozenset(option for one in SOURCES.values() for option in (*one.paths, *one.moves))


__all__ = ["SOURCES", "Source", "detect_source", "load_data", "places", "register"]
