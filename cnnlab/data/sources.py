"""Datasets by name: the table, and the set that ships with scikit-learn."""

from collections.abc import Callable

import numpy as np

from cnnlab.data.boxes import boxes
from cnnlab.data.builders import cifar10, fashion_mnist, kmnist, mnist
from cnnlab.data.dataset import Dataset, from_arrays, split_columns
from cnnlab.data.folder import folder
from cnnlab.data.pairs import pairs, sheet
from cnnlab.data.prepared import tfds
from cnnlab.data.shapes import shapes
from cnnlab.errors import unknown


def digits(*, size: int = 28, seed: int = 0) -> Dataset:
    """The 1,797 handwritten digits that scikit-learn ships: 8x8 pixels, resized bilinearly.

    Split 70 : 10 : 20 into train, validation and test, stratified by digit. The split is a function of `seed`, which
    is the data's own and not the experiment's: seeds of training share one split.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.

    Args:
      size: height and width in pixels.
      seed: of the split.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    if not 8 <= size <= 256:
        raise ValueError(f"size must lie in 8..256 pixels, found {size}")
    raw = load_digits()
    small = np.round(raw.images * (255 / 16)).astype(np.uint8)
    image = np.stack([Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR) for one in small])
    columns = {"image": image, "label": raw.target.astype(np.int32)}
    splits = split_columns(columns, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=seed)
    return from_arrays(splits, classes=tuple("0123456789"), name="digits")


SOURCES: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "folder": folder,
    "pairs": pairs,
    "sheet": sheet,
    "boxes": boxes,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "kmnist": kmnist,
    "cifar10": cifar10,
    "tfds": tfds,
    "shapes": shapes,
}


PLACES = ("path", "mask", "content", "data_dir")
"""Options that say where data lies, not what it is."""


def register(name: str, source: Callable[..., Dataset]) -> None:
    """Makes `--data.name NAME` call `source(**options)`, a function that returns a `Dataset`."""
    SOURCES[name] = source


def load_data(name: str, **options) -> Dataset:
    """The dataset of that name.

    >>> load_data("digits").spec.shape
    (28, 28, 1)
    """
    if name not in SOURCES:
        raise unknown("data", name, SOURCES)
    return SOURCES[name](**options)
