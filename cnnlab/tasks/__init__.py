"""The registry of tasks by name. To add a task, write a file beside `classification.py` and add a line to `TASKS`."""

from collections.abc import Callable

from cnnlab.errors import unknown
from cnnlab.tasks.classification import Classification
from cnnlab.tasks.denoising import Denoising
from cnnlab.tasks.detection import Detection
from cnnlab.tasks.ranking import Ranking
from cnnlab.tasks.regression import Regression
from cnnlab.tasks.scoring import Scoring
from cnnlab.tasks.segmentation import Segmentation
from cnnlab.tasks.sequence import Sequence
from cnnlab.tasks.task import Prediction, Task, check_logits

TASKS: dict[str, Callable[..., Task]] = {
    "classification": Classification,
    "regression": Regression,
    "segmentation": Segmentation,
    "detection": Detection,
    "sequence": Sequence,
    "denoising": Denoising,
    "ranking": Ranking,
    "scoring": Scoring,
}
"""The tasks by name. A new one is a file beside this one, and a line here."""


def register(name: str, task: Callable[..., Task]) -> None:
    """Registers a task, a frozen dataclass, for `create_task(name, **options)` and `--task.name NAME`."""
    TASKS[name] = task


def create_task(name: str, **options) -> Task:
    """Creates a task from its name and its options.

    >>> create_task("classification", kind="sigmoid").kind
    'sigmoid'
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name](**options)


__all__ = [
    "TASKS",
    "Classification",
    "Denoising",
    "Detection",
    "Prediction",
    "Ranking",
    "Regression",
    "Scoring",
    "Segmentation",
    "Sequence",
    "Task",
    "check_logits",
    "create_task",
    "register",
]


def __dir__() -> list[str]:
    return __all__
