"""Checks and reads the options of `cnnlab predict` that only some tasks take."""

import unicodedata
from pathlib import Path

from cnnlab.files.text import read_text
from cnnlab.tasks import TASKS, Task
from cnnlab.tasks.task import complete, task_name

_WHY = {
    "gallery": "networks that embed images",
    "video": "networks that find boxes",
    "tile": "networks that predict each pixel",
    **dict.fromkeys(("pattern", "lexicon"), "networks that read strips"),
}
_LEXICON_BYTES = 2_000_000


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


def read_lexicon(path: str | Path) -> tuple[str, ...]:
    """Reads the strings of a lexicon, a UTF-8 text file with one string a line; empty lines do not count.

    Characters are composed (NFC), as those of `targets.csv`.

    Raises:
      ValueError: the file cannot be read, is larger than 2 MB, or has no string.
    """
    text = unicodedata.normalize("NFC", read_text(Path(path), limit=_LEXICON_BYTES, kind="lexicon"))
    lines = text.splitlines()
    if not (words := tuple(dict.fromkeys(filter(None, map(str.strip, lines))))):
        raise ValueError(f"{path} has no string; write one a line")
    return words
