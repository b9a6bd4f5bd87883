"""List presets, models, data, tasks and methods of explanation: cnnlab list [--json]."""

from collections.abc import Sequence

from cnnlab.commands.common import AsJson, parse, print_json


def run(arguments: Sequence[str]) -> None:
    """Prints the names of all presets, models, data sources and tasks, and a line on each method of explanation."""

    def command(json: AsJson = False) -> bool:
        """List the presets, models, data sources, tasks and methods of explanation that the command line accepts.

        Args:
            json: print one JSON object.
        """
        return json

    as_json = parse(command, arguments, "list")
    from cnnlab.data import SOURCES
    from cnnlab.explain.methods import METHODS
    from cnnlab.models import MODELS
    from cnnlab.tasks import TASKS
    from cnnlab.training.presets import PRESETS

    tables = {"presets": PRESETS, "models": MODELS, "data": SOURCES, "tasks": TASKS}
    if as_json:
        print_json({kind: list(table) for kind, table in (tables | {"methods": METHODS}).items()})
        return
    for kind, table in tables.items():
        print(f"{kind:8} {', '.join(table)}")
    print("methods of cnnlab explain: what the map shows (paper; cost; the randomisation test on nine of ten digits)")
    for name, method in METHODS.items():
        sane = {True: "; passes", False: "; fails"}.get(method.sane, "")
        print(f"  {name:22} {method.shows} ({method.paper}; {method.cost}{sane})")
