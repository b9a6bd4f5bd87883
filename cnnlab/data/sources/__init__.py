"""The registry of dataset sources by name.

A new source is a file here with a function that returns a `Dataset`, and an entry in `SOURCES`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.dataset import Dataset
from cnnlab.data.sources.comparisons import comparisons
from cnnlab.data.sources.detection_folder import boxes
from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.folder import folder
from cnnlab.data.sources.kind import Kind, kind_of, print_kind
from cnnlab.data.sources.outlines import outlines
from cnnlab.data.sources.pack import pack
from cnnlab.data.sources.pairs import pairs
from cnnlab.data.sources.shapes import shapes
from cnnlab.data.sources.sheet import sheet
from cnnlab.data.sources.signals import signals
from cnnlab.data.sources.standard import cifar10, fashion_mnist, kmnist, mnist
from cnnlab.data.sources.strips import strips
from cnnlab.data.sources.strokes import strokes
from cnnlab.data.sources.tfds import tfds
from cnnlab.errors import unknown
from cnnlab.files.addresses import is_address
from cnnlab.files.copying import local


class Source(NamedTuple):
    """One source of datasets.

    Attributes:
      build: function of keyword options that returns a `Dataset`.
      paths: options that name files or folders; `--data.path` sets the first one.
      command: command that trains on the source; None for a set that `data list` describes in another way.
      moves: options that say where prepared data lies and do not change the data.
      column: column of annotations that all its data has, such as `mask`; None if files or options decide.
    """

    build: Callable[..., Dataset]
    paths: tuple[str, ...] = ()
    command: str | None = None
    moves: tuple[str, ...] = ()
    column: str | None = None


SOURCES: dict[str, Source] = {
    "digits": Source(digits, command="cnnlab train --data.name digits"),
    "strokes": Source(strokes, command="cnnlab train strokes-lenet5"),
    "strips": Source(
        strips,
        command="cnnlab train strips-reader",
        moves=("data_dir",),
        column="text",
    ),
    "folder": Source(
        folder, ("path",), command="cnnlab train --data.path DIR (images in DIR/CLASS, or DIR/targets.csv)"
    ),
    "pairs": Source(pairs, ("path",), "cnnlab train --data.path DIR (DIR/images and DIR/masks)", column="mask"),
    "outlines": Source(
        outlines,
        ("path",),
        "cnnlab train --data.path DIR --task.name segmentation (polygons or run lengths of an annotation tool)",
        column="mask",
    ),
    "sheet": Source(
        sheet,
        ("path", "mask", "content"),
        "cnnlab train --data.name sheet --data.path IMAGE --data.mask MASK --data.validation 4800 5400 "
        "--data.test 5400 6288 (columns of one annotated sheet)",
        column="mask",
    ),
    "comparisons": Source(
        comparisons, ("path",), "cnnlab train --data.path DIR (DIR/pairs.csv: which of two is above)", column="pair"
    ),
    "boxes": Source(boxes, ("path",), "cnnlab train --data.path DIR (files of an annotation tool)", column="boxes"),
    "signals": Source(
        signals,
        ("path",),
        "cnnlab train --data.path DIR (.npy or .csv files of samples over time)",
    ),
    "pack": Source(pack, ("path",), "cnnlab train --data.path PACK (what cnnlab data pack wrote)"),
    "mnist": Source(mnist, moves=("data_dir",)),
    "fashion_mnist": Source(fashion_mnist, moves=("data_dir",)),
    "kmnist": Source(kmnist, moves=("data_dir",)),
    "cifar10": Source(cifar10, moves=("data_dir",)),
    "tfds": Source(tfds, moves=("data_dir",)),
    "shapes": Source(shapes, command="cnnlab train --data.name shapes"),
}
"""Sources by name; `kind_of` decides which one reads a folder."""


def register(name: str, source: Callable[..., Dataset]) -> None:
    """Registers `source(**options)`, a function that returns a `Dataset`, for `--data.name NAME`."""
    SOURCES[name] = Source(source)


def load_data(name: str, **options) -> Dataset:
    """Loads the dataset of the source with that name; what lies elsewhere is copied first.

    >>> load_data("digits").spec.shape
    (28, 28, 1)
    """
    if name not in SOURCES:
        raise unknown("data", name, SOURCES)
    source = SOURCES[name]  # of which TFDS reads gs:// by itself
    places = [option for option, value in options.items() if is_address(value) and option not in source.moves]
    return source.build(**options | {option: str(local(options[option])) for option in places})


def load(path: str | Path, *, task: str | None = None, **options) -> Dataset:
    """Loads a folder by the source that `kind_of` chooses, and prints the choice with its reason on standard error.

    Args:
      path: the folder, or its address, such as `s3://bucket/photos`.
      task: name of the task, which steers the choice where several sources fit.
      **options: options of the source.

    >>> load("photos")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: photos is no folder; ...
    """
    kind = kind_of(path := local(path), task)
    print_kind(path, kind)
    return load_data(kind.source, path=str(path), **options)


def places() -> frozenset[str]:
    """Returns the options that say where data lies, because data that was moved is still the same data."""
    return frozenset(option for source in SOURCES.values() for option in (*source.paths, *source.moves))


__all__ = ["SOURCES", "Kind", "Source", "kind_of", "load", "load_data", "places", "print_kind", "register"]
