"""The commands of the command line; a new command is a module here and an entry in `COMMANDS`.

The first line of a module's docstring is its help text.
"""

from types import ModuleType

from cnnlab.commands import (
    compare,
    completion,
    data,
    draw,
    dream,
    embed,
    evaluate,
    explain,
    export,
    features,
    label_errors,
    label_next,
    predict,
    probe,
    report,
    serve,
    summary,
    train,
)
from cnnlab.commands import list as list_

COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
    "predict": predict,
    "explain": explain,
    "features": features,
    "dream": dream,
    "embed": embed,
    "probe": probe,
    "label-next": label_next,
    "label-errors": label_errors,
    "draw": draw,
    "serve": serve,
    "summary": summary,
    "export": export,
    "data": data,
    "list": list_,
    "completion": completion,
}
"""The modules of the commands by name; each has a function `run(arguments)`."""
