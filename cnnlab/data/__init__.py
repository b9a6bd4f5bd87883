"""Datasets by name or from arrays, and the splitting, augmentation and batching of their examples."""

from cnnlab.data.augment import Augmentation, augment
from cnnlab.data.batches import epoch_order, evaluation_batches, steps_per_epoch, training_batches
from cnnlab.data.dataset import Dataset, Examples, from_arrays
from cnnlab.data.description import Description, describe
from cnnlab.data.packing import write_pack
from cnnlab.data.recordings import read_signals
from cnnlab.data.sources import SOURCES, Kind, Source, kind_of, load, load_data, places, print_kind, register
from cnnlab.data.sources.comparisons import comparisons
from cnnlab.data.sources.detection_folder import boxes
from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.folder import folder
from cnnlab.data.sources.outlines import outlines
from cnnlab.data.sources.pack import pack
from cnnlab.data.sources.pairs import pairs
from cnnlab.data.sources.shapes import shapes
from cnnlab.data.sources.sheet import sheet
from cnnlab.data.sources.signals import signals
from cnnlab.data.spec import InputSpec, as_float, check_images, normalise
from cnnlab.data.splits import split_columns
from cnnlab.data.time_axis import fill_gaps, resample

__all__ = [
    "SOURCES",
    "Augmentation",
    "Dataset",
    "Description",
    "Examples",
    "InputSpec",
    "Kind",
    "Source",
    "as_float",
    "augment",
    "boxes",
    "check_images",
    "comparisons",
    "describe",
    "digits",
    "epoch_order",
    "evaluation_batches",
    "fill_gaps",
    "folder",
    "from_arrays",
    "kind_of",
    "load",
    "load_data",
    "normalise",
    "outlines",
    "pack",
    "pairs",
    "places",
    "print_kind",
    "read_signals",
    "register",
    "resample",
    "shapes",
    "sheet",
    "signals",
    "split_columns",
    "steps_per_epoch",
    "training_batches",
    "write_pack",
]


def __dir__() -> list[str]:
    return __all__
