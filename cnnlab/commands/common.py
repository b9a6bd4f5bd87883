"""What the commands share: flags in, results out."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.files.atomic import write_text
from cnnlab.files.strict_json import without_nan
from cnnlab.quoting import for_markdown, for_terminal

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


def print_report(report: Mapping[str, Any], title: str) -> None:
    """A short table; calibration errors stand beside their noise floor. Below it the report's own tables."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(for_terminal(title), style="italic", soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in _lines(report):
        table.add_row(*map(for_terminal, row))
    console.print(table)
    for name, columns, rows in _tables(report):
        table = Table(title=f"\n{for_terminal(name)}", title_justify="left", box=None, pad_edge=False)
        for i, column in enumerate(columns):
            table.add_column(for_terminal(column), justify="right" if i else "left")
        for row in rows:
            table.add_row(*map(for_terminal, row))
        console.print(table)


def write_report(report: Mapping[str, Any], title: str, directory: Path, *, since: float = 0.0) -> Path:
    """The same tables as `directory/report.md`, with the pictures written there since a time (of `time.time`)."""
    lines = [f"# {for_markdown(title)}", "", "| | |", "|---|---|", *map(_markdown, _lines(report)), ""]
    for name, columns, rows in _tables(report):
        lines += [
            f"## {for_markdown(name)}",
            "",
            _markdown(columns),
            "|---" * len(columns) + "|",
            *map(_markdown, rows),
            "",
        ]
    pictures = [path for path in sorted(directory.glob("*.png")) if path.stat().st_mtime >= since]
    lines += [f"![{for_markdown(path.stem.replace('_', ' '))}]({quote(path.name)})\n" for path in pictures]
    path = directory / "report.md"
    write_text(path, "\n".join(lines))
    return path


def _lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values to read; intervals and noise floors stand behind what they belong to."""
    for name, value in report.items():
        whole, _, ending = name.rpartition("_")
        if isinstance(value, Mapping | list) or (ending in ("low", "high", "floor") and whole in report):
            continue
        notes = []
        if f"{name}_low" in report:
            notes.append(f"{_text(report[f'{name}_low'])} to {_text(report[f'{name}_high'])}")
        if f"{name}_floor" in report:
            notes.append(f"noise floor {_text(report[f'{name}_floor'])}")
        yield name.replace("_", " "), _text(value) + (f"  ({', '.join(notes)})" if notes else "")


def _tables(report: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Name, header and rows of the lists of records; a mapping has a row an entry."""
    for name, value in report.items():
        records = [{"": key, "count": count} for key, count in value.items()] if isinstance(value, Mapping) else value
        if isinstance(records, list) and records:
            columns = [column.replace("_", " ") for column in records[0]]
            yield name.replace("_", " "), columns, [[_text(cell) for cell in one.values()] for one in records]


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(for_markdown, cells))} |"
