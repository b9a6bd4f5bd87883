"""Out-of-distribution images, to test whether a network recognises that they differ from its training data."""

from pathlib import Path

import numpy as np

from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.sources import SOURCES, load_data
from cnnlab.data.sources.tfds_directory import is_known
from cnnlab.data.spec import InputSpec
from cnnlab.files.images import read_pixels
from cnnlab.files.listing import find_images


def ood_examples(source: str | Path | Dataset, spec: InputSpec) -> Examples:
    """Returns out-of-distribution images in the shape of the network's input, each with the label -1.

    Args:
      source: a dataset, the name of a dataset (also of one that TFDS prepared), a folder of photos, or one photo. Of a
        dataset, the `test` split is used. Photos are resized.
      spec: input specification of the network.

    Raises:
      ValueError: the source is none of these, or the dataset's images have another shape.
    """
    dataset = source if isinstance(source, Dataset) else _named(str(source))
    if dataset is not None and dataset.spec.shape != spec.shape:
        raise ValueError(
            f"the network takes images of the shape {spec.shape}, {dataset.name} has {dataset.spec.shape}; "
            "give a folder of images, which are resized"
        )
    if dataset is not None:
        image = dataset["test"].column("image")
    elif Path(source).exists():
        image = np.stack([read_pixels(path, **spec.layout) for path in find_images([source])])
    else:
        raise ValueError(f"{source!r} is no folder and no data; known data: {', '.join(SOURCES)}")
    return Examples({"image": image, "label": np.full(len(image), -1, np.int32)})


def _named(name: str) -> Dataset | None:
    """Loads the dataset of that name, or returns None if there is none."""
    if name in SOURCES:
        return load_data(name)
    return load_data("tfds", set=name) if not Path(name).exists() and is_known(name) else None
