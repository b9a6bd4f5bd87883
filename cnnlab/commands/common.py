"""What the commands share: flags in, results out."""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.training.run import without_nan

T = TypeVar("T")

Run = tyro.conf.Positional[str]
"""The run directory, the first argument of most commands."""

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
"""The flag `--json`: one JSON object, alone, on standard output."""


class Misuse(ValueError):
    """The command line asks for something that does not exist."""


def parse(command: Callable[..., T], arguments: Sequence[str], name: str) -> T:
    """Calls `command` with the arguments as its parameters; its docstring is the help.

    Raises:
      SystemExit: a flag that does not parse (2), or help (0).
    """
    return tyro.cli(command, args=list(arguments), prog=f"cnnlab {name}")


def print_json(report: dict) -> None:
    """One JSON object on standard output; null for a number that could not be measured."""
    print(json.dumps(without_nan(report)))


def print_report(report: dict[str, float], title: str) -> None:
    """A short table; calibration errors stand beside their noise floor."""
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    for name, value in report.items():
        if name == "ece_floor":
            continue
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        if f"{name}_floor" in report:
            text += f"  (noise floor {report[f'{name}_floor']:.4f})"
        table.add_row(name.replace("_", " "), text)
    Console(highlight=False).print(table)
