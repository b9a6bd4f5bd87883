"""Examples in, batches out: datasets by name, arrays, drawn shapes."""

from cnnlab.data.augment import Augmentation, augment
from cnnlab.data.batches import epoch_order, evaluation_batches, steps_per_epoch, training_batches
from cnnlab.data.boxes import boxes
from cnnlab.data.dataset import Dataset, Examples, from_arrays, split_columns
from cnnlab.data.folder import folder
from cnnlab.data.pairs import pairs, sheet
from cnnlab.data.shapes import shapes
from cnnlab.data.sources import PLACES, SOURCES, digits, load_data, register
from cnnlab.data.spec import InputSpec, as_float, check_images, normalise

__all__ = [
    "PLACES",
    "SOURCES",
    "Augmentation",
    "Dataset",
    "Examples",
    "InputSpec",
    "as_float",
    "augment",
    "boxes",
    "check_images",
    "digits",
    "epoch_order",
    "evaluation_batches",
    "folder",
    "from_arrays",
    "load_data",
    "normalise",
    "pairs",
    "register",
    "shapes",
    "sheet",
    "split_columns",
    "steps_per_epoch",
    "training_batches",
]
