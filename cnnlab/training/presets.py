"""Presets: experiments with a name."""

import dataclasses

from cnnlab.data import Augmentation
from cnnlab.errors import unknown
from cnnlab.training.experiment import Choice, Experiment, Training
from cnnlab.training.optimizer import Optimizer

_SHAPES = Experiment(
    data=Choice("shapes"),
    optimizer=Optimizer(learning_rate=3e-3, schedule="cosine"),
    training=Training(epochs=20, batch_size=32),
)

PRESETS: dict[str, Experiment] = {
    "digits-lenet5": Experiment(
        model=Choice("lenet5", dropout=0.3),
        data=Choice("digits"),
        optimizer=Optimizer(learning_rate=2e-3, schedule="cosine"),
        training=Training(epochs=40, batch_size=32, augmentation=Augmentation(shift=0.08)),
    ),
    "digits-dense": Experiment(
        model=Choice("dense", dropout=0.3),
        data=Choice("digits"),
        optimizer=Optimizer(schedule="cosine"),
        training=Training(epochs=30, batch_size=32),
    ),
    "digits-linear": Experiment(
        model=Choice("linear"),
        data=Choice("digits"),
        optimizer=Optimizer(schedule="cosine"),
        training=Training(epochs=30, batch_size=32),
    ),
    "strokes-lenet5": Experiment(
        model=Choice("lenet5", dropout=0.4),
        data=Choice("strokes"),
        optimizer=Optimizer(learning_rate=2e-3, schedule="cosine"),
        training=Training(epochs=12, augmentation=Augmentation(shift=0.04, rotation=7.0, zoom=0.05, elastic=0.5)),
    ),
    "strips-reader": Experiment(
        model=Choice("reader"),
        data=Choice("strips"),
        task=Choice("sequence"),
        optimizer=Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine"),
        training=Training(epochs=6),
    ),
    "shapes-classification": dataclasses.replace(_SHAPES, model=Choice("lenet5", dropout=0.2)),
    "shapes-regression": dataclasses.replace(
        _SHAPES,
        model=Choice("lenet5", dropout=0.05),
        data=Choice("shapes", annotation="target"),
        task=Choice("regression"),
    ),
    "shapes-segmentation": dataclasses.replace(
        _SHAPES,
        model=Choice("encoder_decoder"),
        data=Choice("shapes", annotation="mask"),
        task=Choice("segmentation"),
        optimizer=dataclasses.replace(_SHAPES.optimizer, learning_rate=2e-2),
    ),
    "shapes-detection": dataclasses.replace(
        _SHAPES,
        model=Choice("grid_detector"),
        data=Choice("shapes", annotation="boxes"),
        task=Choice("detection"),
        optimizer=dataclasses.replace(_SHAPES.optimizer, learning_rate=1e-2),
    ),
    "shapes-ranking": dataclasses.replace(_SHAPES, model=Choice("lenet5", dropout=0.05), task=Choice("ranking")),
}


def get(name: str) -> Experiment:
    """Returns the experiment of a preset.

    >>> get("digits-lenet5").model.name
    'lenet5'
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
