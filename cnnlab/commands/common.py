"""What the commands share: flags in, results out."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.training.run import without_nan, write_text

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
    for name, text in _lines(report):
        table.add_row(name, text)
    Console(highlight=False).print(table)


def write_report(report: dict[str, float], title: str, directory: Path) -> Path:
    """The same table as `directory/report.md`, with the pictures that lie there."""
    lines = [f"# {title}", "", "| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in _lines(report)), ""]
    lines += [f"![{path.stem.replace('_', ' ')}]({path.name})\n" for path in sorted(directory.glob("*.png"))]
    path = directory / "report.md"
    write_text(path, "\n".join(lines))
    return path


def _lines(report: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Names and values to read."""
    for name, value in report.items():
        if name.endswith("_floor"):
            continue
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        if f"{name}_floor" in report:
            text += f"  (noise floor {report[f'{name}_floor']:.4f})"
        yield name.replace("_", " "), text
