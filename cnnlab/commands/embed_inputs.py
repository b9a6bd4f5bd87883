"""The images that `cnnlab embed` maps: splits of a run's data, another labelled folder, or photos without labels."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.commands.common import Misuse
from cnnlab.commands.embed_request import Request
from cnnlab.data import Dataset, Examples
from cnnlab.data.ragged import Ragged
from cnnlab.data.records import Records
from cnnlab.data.streaming import ImageFiles
from cnnlab.embeddings.extract import PIXELS
from cnnlab.files.listing import find_images
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained
from cnnlab.training.restore import load_data, load_data_at

_PHOTOS = "photos"  # the split of images without labels
_MOST_NUMBERS = 1 << 28  # of the pixels of all images, 1 GB


class Part(NamedTuple):
    """The images of one split.

    Attributes:
      dataset: a dataset with this split alone, of the images that were chosen.
      split: name of the split.
      numbers: `[n]`, their numbers in the whole split.
      source: all examples of the split.
      labelled: whether there are labels.
    """

    dataset: Dataset
    split: str
    numbers: np.ndarray
    source: Examples
    labelled: bool

    @property
    def examples(self) -> Examples:
        """The images that were chosen."""
        return self.dataset[self.split]

    @property
    def names(self) -> list[str]:
        """The file of each image, or its split and number, such as `test 17`."""
        files = self.examples.files
        return [f"{self.split} {i}" for i in self.numbers] if files is None else [str(file) for file in files]

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, `[n]`, -1 = unknown."""
        column = self.examples.columns.get("label")
        return np.full(len(self.examples), -1, np.int32) if column is None else np.asarray(column, np.int32)


def read_parts(trained: Trained, request: Request) -> list[Part]:
    """Returns the images by split, in all at most `--count`, chosen at random by the seed; it prints the choice.

    Raises:
      ValueError: a path, split or file does not exist or cannot be read.
    """
    sources = _sources(trained, request)
    total = sum(len(dataset[split]) for dataset, split, _ in sources)
    number, most = min(total, request.count), max(2, _MOST_NUMBERS // math.prod(trained.spec.shape))
    if request.layer == PIXELS and number > most:
        shape = "x".join(map(str, trained.spec.shape))
        raise ValueError(
            f"the pixels of {number:,} images of {shape} do not fit in a gigabyte; choose --count {most} or fewer"
        )
    chosen = np.arange(total)
    if total > request.count:
        chosen = np.sort(np.random.default_rng(request.seed).choice(total, request.count, replace=False))
        print(f"{request.count:,} of {total:,} images, chosen at random (--count)", file=sys.stderr)
    parts, start = [], 0
    for dataset, split, labelled in sources:
        whole = dataset[split]
        numbers = chosen[(chosen >= start) & (chosen < start + len(whole))] - start
        start += len(whole)
        if len(numbers):
            own = Dataset(dataset.name, dataset.spec, {split: _taken(whole, numbers)})
            parts.append(Part(own, split, numbers, whole, labelled))
    return parts


def _sources(trained: Trained, request: Request) -> list[tuple[Dataset, str, bool]]:
    """Returns dataset, split and whether it has labels of everything that was named."""
    splits = list(dict.fromkeys(request.split))
    if not request.paths:
        dataset = load_data(request.run)
        return [(dataset, split, True) for split in splits]
    if len(request.paths) == 1 and Path(request.paths[0]).is_dir():
        try:
            dataset = load_data_at(request.run, request.paths[0], splits[0])
        except ValueError as error:
            print(f"read as photos without labels: {for_terminal(error)}", file=sys.stderr)
        else:
            if len(splits) > 1 and len(dataset.splits) == 1:
                raise Misuse(f"--split must name one split of another folder, found {', '.join(splits)}")
            return [(dataset, split, True) for split in splits]
    return [(_photos(trained, request.paths, request.skip_unreadable), _PHOTOS, False)]


def _photos(trained: Trained, paths: Sequence[str], skip: bool) -> Dataset:
    """Returns image files and those of folders as a dataset without labels; every file is decoded once to check it."""
    found = np.array([str(file.absolute()) for file in find_images(paths)])
    files = ImageFiles(Path("/"), found, **trained.spec.layout)
    good, errors = files.readable()
    if errors and not skip:
        raise ValueError(f"{errors[0]}; --skip-unreadable leaves out such files, here {len(errors)} of {len(found)}")
    for error in errors:
        print(f"left out: {for_terminal(error)}", file=sys.stderr)
    if not good.any():
        raise ValueError(f"none of {len(found)} files can be read as an image")
    examples = Examples({"image": files.take(good)}, files=np.array([str(f) for f in find_images(paths)], object)[good])
    return Dataset(" ".join(paths), trained.spec, {_PHOTOS: examples})


def _taken(examples: Examples, numbers: np.ndarray) -> Examples:
    """Returns some of the examples; random crops are drawn once, and read into memory."""
    if type(examples) is not Examples:
        return Examples(examples[numbers])
    if len(numbers) == len(examples):
        return examples
    columns = {
        name: column.take(numbers) if isinstance(column, Ragged | ImageFiles | Records) else column[numbers]
        for name, column in examples.columns.items()
    }
    return Examples(columns, files=None if examples.files is None else examples.files[numbers])
