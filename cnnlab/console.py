"""What programs say while they work: on standard error, so that standard output stays the result's."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def console(quiet: bool = False) -> Console:
    """Returns standard error as a console; a quiet one prints nothing."""
    return Console(stderr=True, quiet=quiet, highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def progress_bar(
    out: Console, *, texts: Mapping[str, str], total: int | None, completed: int = 0, **fields
) -> Iterator[Callable[..., None]]:
    """Draws a progress bar; yields `update(completed=..., **fields)`.

    Without a terminal, `update` prints the bar as a line, once a minute.

    Args:
      out: where it is drawn.
      texts: `label` stands before the bar, `rate` between count and remaining time, `note` at the end; each may be
        left out.
      total: units of work; None where nobody knows.
      completed: units that were done before.
      **fields: values that the texts show as `{task.fields[NAME]}`, and that `update` changes.
    """
    label, rate, note = ([TextColumn(texts[place])] if place in texts else [] for place in ("label", "rate", "note"))
    columns = (*label, BarColumn(bar_width=24), MofNCompleteColumn(), *rate, TimeRemainingColumn(), *note)
    with Progress(*columns, console=out, refresh_per_second=4) as progress:
        task = progress.add_task("", total=total, completed=completed, **fields)
        say = now_and_then(progress)

        def update(**changes) -> None:
            progress.update(task, **changes)
            say()

        yield update


def now_and_then(bar: Progress, seconds: float = 60) -> Callable[[], None]:
    """Returns what a log has instead of a moving bar: a function that prints it as a line, at most once in a while.

    Args:
      bar: which is printed.
      seconds: between two lines.

    On a terminal the function prints nothing.
    """
    last = time.monotonic()

    def say() -> None:
        nonlocal last
        if not bar.console.is_terminal and time.monotonic() - last >= seconds:
            bar.console.print(bar.get_renderable())
            last = time.monotonic()

    return say
