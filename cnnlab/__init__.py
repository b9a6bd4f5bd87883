"""Convolutional networks in JAX and Flax: from images to an evaluated checkpoint that says how sure it is.

exp = cnnlab.presets.get("digits-lenet5")
trained = cnnlab.train(exp, "runs/lenet5")
report = cnnlab.evaluate("runs/lenet5", mc_samples=50)
"""

from cnnlab import data, export, models, ops, tasks
from cnnlab.anatomy import summary
from cnnlab.compile import jit
from cnnlab.data import Dataset, InputSpec
from cnnlab.evaluation import evaluate
from cnnlab.models import create_model
from cnnlab.tasks import Prediction, Task
from cnnlab.trained import Trained, predict
from cnnlab.training import (
    Choice,
    Experiment,
    Optimizer,
    State,
    Training,
    load,
    presets,
    train,
    train_seeds,
    train_step,
)
from cnnlab.uncertainty import mc_predict
from cnnlab.version import VERSION

__version__ = VERSION

__all__ = [
    "Choice",
    "Dataset",
    "Experiment",
    "InputSpec",
    "Optimizer",
    "Prediction",
    "State",
    "Task",
    "Trained",
    "Training",
    "create_model",
    "data",
    "evaluate",
    "export",
    "jit",
    "load",
    "mc_predict",
    "models",
    "ops",
    "predict",
    "presets",
    "summary",
    "tasks",
    "train",
    "train_seeds",
    "train_step",
]
