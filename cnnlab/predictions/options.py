"""Checks the options of `cnnlab predict` that only some tasks take."""

from cnnlab.tasks import TASKS, Task
from cnnlab.tasks.task import complete, task_name

_WHY = {"video": "networks that find boxes", "tile": "networks that predict each pixel"}


def takes(task: Task, option: str) -> bool:
    """Returns whether a task takes an option, that is, whether its `predict_options` name it."""
    return option in complete(task).predict_options


def require_option(task: Task, option: str, subject: str, *, run: str = "this run") -> None:
    """Raises `ValueError`, with the tasks that take an option, if this task does not take it.

    Args:
      task: task of the network.
      option: name of the option in `predict_options`.
      subject: beginning of the message, such as `--ids`.
      run: name of the network in the message.
    """
    if not takes(task, option):
        others = ", ".join(name for name, other in TASKS.items() if option in getattr(other, "predict_options", ()))
        able = f"{_WHY[option]} ({others})" if option in _WHY else others
        raise ValueError(f"{subject} is for {able}, {run} is {task_name(task)}")
