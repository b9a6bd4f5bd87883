"""Functions that all commands share: parsing of options and printing of results."""

import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints
from urllib.parse import quote

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.commands.forms import metavar
from cnnlab.files.atomic import write_text
from cnnlab.files.cache import named
from cnnlab.files.figures import FigureFormat
from cnnlab.files.strict_json import without_nan
from cnnlab.metrics.names import is_for_a_closer_look
from cnnlab.metrics.tables import number_rows, tables_in, with_worst
from cnnlab.quoting import counted, for_markdown, for_terminal

T = TypeVar("T")

Run = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
"""The run directory, the first argument of most commands."""

Runs = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN...")]
"""Run directories, the first arguments of a command."""

Place = Annotated[str | None, tyro.conf.arg(metavar="PATH")]
"""A file or directory, or None."""

File = Annotated[str | None, tyro.conf.arg(metavar="FILE")]
"""A file, or None."""

Directory = Annotated[str | None, tyro.conf.arg(metavar="DIR")]
"""A directory, or None."""

MovedData = Annotated[str | None, tyro.conf.arg(name="data.path", metavar="PATH")]
"""The flag `--data.path`: a new path of a run's data, or another folder to measure."""

AsJson = Annotated[bool, tyro.conf.arg(name="json")]
"""The flag `--json`: one JSON object, alone, on standard output."""


class Misuse(ValueError):
    """The arguments of a command are wrong or do not fit together."""


def parse(
    command: Callable[..., T], arguments: Sequence[str], name: str, *, common: Collection[str] | None = None
) -> T:
    """Calls a function with the arguments of the command line as parameters; its docstring is the help text.

    Args:
      command: function to call.
      arguments: arguments of the command line.
      name: name of the command in the help text.
      common: parameters that `--help` lists; `--help-all` lists all. By default `--help` lists all.

    Raises:
      SystemExit: an option does not parse (exit code 2), or help was printed (exit code 0).
    """
    kinds = get_type_hints(command, include_extras=True).items()
    annotations = {option: Annotated[kind, tyro.conf.arg(**metavar(kind))] for option, kind in kinds}
    arguments, description = list(arguments), inspect.getdoc(command).split("\n\nArgs:")[0]
    if common is not None and {"-h", "--help", "--help-all"} & set(arguments):
        if "--help-all" not in arguments:  # only for help, because tyro does not parse an option that is left out
            description += "\n\nThis help lists the common options; --help-all lists all."
            positional = {n for n, p in inspect.signature(command).parameters.items() if p.kind is p.POSITIONAL_ONLY}
            kept = {*common, *positional, "return"}
            annotations = {n: kind if n in kept else tyro.conf.Suppress[kind] for n, kind in annotations.items()}
        arguments = ["--help"]
    command.__annotations__ = annotations
    return tyro.cli(command, args=arguments, prog=f"cnnlab {name}", description=description)


def print_json(report: dict) -> None:
    """Prints one JSON object on standard output; NaN and infinity become null."""
    print(json.dumps(named(without_nan(report))))


def print_report(report: Mapping[str, Any], title: str, verdict: str = "", *, everything: bool = True) -> None:
    """Prints a report: verdict, numbers with intervals and noise floors, and the tables inside the report.

    Arrows say whether larger (↑) or smaller (↓) numbers are better. Of a table of many classes it prints the worst 20.
    Without `everything` it leaves out the numbers that are for a closer look, and says how many.
    """
    numbers = len(list(number_rows(report)))
    report = {name: value for name, value in report.items() if everything or not is_for_a_closer_look(name)}
    left_out = numbers - len(list(number_rows(report)))
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(for_terminal(title), style="italic", soft_wrap=True)
    if verdict:
        console.print(for_terminal(verdict), style="bold", soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in number_rows(report):
        table.add_row(*map(for_terminal, row))
    if table.row_count:
        console.print(table)
    for name, columns, rows in tables_in(with_worst(report)):
        console.print(f"\n{for_terminal(name)}", style="italic", soft_wrap=True)
        table = Table(box=None, pad_edge=False)
        for i, column in enumerate(columns):
            table.add_column(for_terminal(column), justify="right" if i else "left")
        for row in rows:
            table.add_row(*map(for_terminal, row))
        console.print(table)
    if left_out:
        console.print(f"\n--all prints {counted(left_out, 'more number')}", soft_wrap=True)


def write_report(report: Mapping[str, Any], title: str, directory: Path, *, since: float = 0.0) -> Path:
    """Writes a report as `directory/report.md`: the tables of `print_report`, and the figures of the directory.

    Args:
      report: numbers and tables by name.
      title: heading of the file.
      directory: directory of the file and the figures.
      since: time (of `time.time`) before which figures are left out.
    """
    lines = [f"# {for_markdown(named(title))}", "", "| | |", "|---|---|", *map(_markdown, number_rows(report)), ""]
    for name, columns, rows in tables_in(report):
        rule = "|---" * len(columns) + "|"
        lines += [f"## {for_markdown(name)}", "", _markdown(columns), rule, *map(_markdown, rows), ""]
    figures = [path for path in sorted(directory.iterdir()) if path.suffix[1:] in get_args(FigureFormat)]
    for path in figures:
        if path.stat().st_mtime >= since:
            sign = "" if path.suffix == ".pdf" else "!"  # Markdown shows no PDF
            lines.append(f"{sign}[{for_markdown(path.stem.replace('_', ' '))}]({quote(path.name)})\n")
    path = directory / "report.md"
    write_text(path, "\n".join(lines))
    return path


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(for_markdown(named(cell)) for cell in cells)} |"
