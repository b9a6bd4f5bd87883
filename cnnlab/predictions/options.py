"""Options of `cnnlab predict` that only some tasks take, and the error where another task is given one."""

from cnnlab.tasks import TASKS, Task
from cnnlab.tasks.task import complete, task_name

_WHY = {"video": "networks that find boxes", "tile": "networks that answer each pixel"}


def takes(task: Task, option: str) -> bool:
    """Returns whether a task takes an option, one of its `predict_options`."""
    return option in complete(task).predict_options


def require_option(task: Task, option: str, subject: str, *, run: str = "this run") -> None:
    """Raises `ValueError`, naming the tasks that take the option, where this one does not.

    Args:
      task: of the network.
      option: the option's name.
      subject: the beginning of the message, such as `--ids`.
      run: what the message calls the network.
    """
    if not takes(task, option):
        others = ", ".join(name for name, one in TASKS.items() if option in getattr(one, "predict_options", ()))
        able = f"{_WHY[option]} ({others})" if option in _WHY else others
        raise ValueError(f"{subject} is for {able}, {run} is {task_name(task)}")
