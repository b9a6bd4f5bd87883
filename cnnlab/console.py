"""Progress bars and messages on standard error; standard output carries only results."""

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def console(quiet: bool = False) -> Console:
    """Returns standard error as a console; a quiet one prints nothing."""
    return Console(stderr=True, quiet=quiet, force_jupyter=False, highlight=False, markup=False, emoji=False)


class LoggingConsole(Console):
    """Standard error as a console that also appends each text that is printed to files, after date and time.

    A quiet one prints nothing, but the files get every line.
    """

    def __init__(self, files: Sequence[Path], *, quiet: bool = False):
        options = {"highlight": False, "markup": False, "emoji": False, "force_jupyter": False}  # in a notebook: lines
        super().__init__(stderr=True, quiet=quiet, **options)
        self._files = tuple(files)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints as `rich.console.Console` does; texts are also logged, tables and progress bars are not."""
        super().print(*objects, **options)
        if objects and all(isinstance(part, str) for part in objects):
            self.log_line(" ".join(objects))

    def log_line(self, text: str) -> None:
        """Appends a text to the files only."""
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        for file in self._files:
            with open(file, "a", encoding="utf-8", errors="backslashreplace", opener=_open_regular) as stream:
                stream.writelines(f"{now}  {line}\n" for line in text.splitlines())


def _open_regular(path: str, flags: int) -> int:
    """Opens a file without following a link at its place or waiting for the reader of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


@contextlib.contextmanager
def progress_bar(
    out: Console, *, texts: Mapping[str, str], total: int | None, completed: int = 0, last_line: bool = True, **fields
) -> Iterator[Callable[..., None]]:
    """Draws a progress bar; yields `update(completed=..., **fields)`.

    Without a terminal, `update` prints the bar as a line, once a minute.

    Args:
      out: console that shows the bar.
      texts: templates of the text columns: `label` stands before the bar, `rate` between count and remaining time,
        `note` at the end; each is optional.
      total: number of units of work; None if it is unknown.
      completed: number of units that are done already.
      last_line: whether the bar is printed as a line at its end if there is no terminal.
      **fields: values that the templates show as `{task.fields[NAME]}` and that `update` changes.
    """
    label, rate, note = ([TextColumn(texts[place])] if place in texts else [] for place in ("label", "rate", "note"))
    columns = (*label, BarColumn(bar_width=24), MofNCompleteColumn(), *rate, TimeRemainingColumn(), *note)
    with Progress(
        *columns, console=out, refresh_per_second=4, transient=not (last_line or out.is_terminal)
    ) as progress:
        task = progress.add_task("", total=total, completed=completed, **fields)
        print_line = now_and_then(progress)

        def update(**changes) -> None:
            progress.update(task, **changes)
            print_line()

        yield update


def now_and_then(bar: Progress, seconds: float = 60) -> Callable[[], None]:
    """Returns a function that prints a progress bar as a line of a log, at most once in `seconds`.

    On a terminal, where the bar moves, the function prints nothing.

    Args:
      bar: progress bar to print.
      seconds: shortest time between two lines.
    """
    last = time.monotonic()

    def print_line() -> None:
        nonlocal last
        if not bar.console.is_terminal and time.monotonic() - last >= seconds:
            bar.console.print(bar.get_renderable())
            last = time.monotonic()

    return print_line
