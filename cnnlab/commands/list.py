"""List presets, models, data and tasks: cnnlab list [--json]."""

from collections.abc import Sequence

from cnnlab.commands.common import AsJson, parse, print_json


def run(arguments: Sequence[str]) -> None:
    """Prints the names of all presets, models, data sources and tasks."""

    def command(json: AsJson = False) -> bool:
        """List the presets, models, data sources and tasks that the command line accepts.

        Args:
            json: print one JSON object.
        """
        return json

    as_json = parse(command, arguments, "list")
    from cnnlab.data import SOURCES
    from cnnlab.models import MODELS
    from cnnlab.tasks import TASKS
    from cnnlab.training.presets import PRESETS

    tables = {"presets": PRESETS, "models": MODELS, "data": SOURCES, "tasks": TASKS}
    if as_json:
        print_json({kind: list(table) for kind, table in tables.items()})
        return
    for kind, table in tables.items():
        print(f"{kind:8} {', '.join(table)}")
