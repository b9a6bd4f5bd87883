from . import (
    anatomy,
    compile,
    data,
    evaluation,
    export,
    losses,
    metrics,
    models,
    nn,
    ops,
    pictures,
    plots,
    sheets,
    tasks,
    trained,
    training,
    uncertainty,
)
from .anatomy import summary
from .compile import jit
from .data import Dataset, InputSpec
from .evaluation import evaluate
from .models import create_model
from .tasks import Prediction, Task
from .trained import Trained, predict
from .training import (
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
from .uncertainty import mc_predict

__version__: str
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
    "anatomy",
    "compile",
    "create_model",
    "data",
    "evaluate",
    "evaluation",
    "export",
    "jit",
    "load",
    "losses",
    "mc_predict",
    "metrics",
    "models",
    "nn",
    "ops",
    "pictures",
    "plots",
    "predict",
    "presets",
    "sheets",
    "summary",
    "tasks",
    "train",
    "train_seeds",
    "train_step",
    "trained",
    "training",
    "uncertainty",
]
