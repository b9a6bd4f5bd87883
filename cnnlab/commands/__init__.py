"""The commands by name. A new one is a file here, whose first line is its help, and a line in `COMMANDS`."""

from types import ModuleType

from cnnlab.commands import data, evaluate, export, predict, summary, train
from cnnlab.commands import list as list_

COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "summary": summary,
    "export": export,
    "data": data,
    "list": list_,
}
"""Each with a function `run(arguments)`."""
