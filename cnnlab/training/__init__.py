"""Training: experiments, optimizers, the training loop and checkpoints."""

from cnnlab.training import presets
from cnnlab.training.experiment import Choice, Experiment, Training
from cnnlab.training.initial import load_initial
from cnnlab.training.loop import train
from cnnlab.training.optimizer import Optimizer, create_optimizer
from cnnlab.training.restore import load
from cnnlab.training.seeds import train_seeds
from cnnlab.training.step import State, create_state, train_step

__all__ = [
    "Choice",
    "Experiment",
    "Optimizer",
    "State",
    "Training",
    "create_optimizer",
    "create_state",
    "load",
    "load_initial",
    "presets",
    "train",
    "train_seeds",
    "train_step",
]


def __dir__() -> list[str]:
    return __all__
