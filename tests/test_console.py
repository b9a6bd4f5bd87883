"""Progress of a long run with and without a terminal."""

import io
from types import SimpleNamespace

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from cnnlab import console
from cnnlab.console import now_and_then


def test_without_a_terminal_the_bar_is_printed_every_minute(monkeypatch):
    clock = [0]
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    out = io.StringIO()
    bar = Progress(MofNCompleteColumn(), console=Console(file=out, force_terminal=False, width=80))
    task, print_line = bar.add_task("", total=200), now_and_then(bar)
    for clock[0] in range(1, 181):
        bar.update(task, advance=1)
        print_line()
    assert [line.strip() for line in out.getvalue().splitlines()] == ["60/200", "120/200", "180/200"]


def test_on_a_terminal_no_lines_are_printed():
    out = io.StringIO()
    bar = Progress(console=Console(file=out, force_terminal=True))
    now_and_then(bar, seconds=0)()
    assert out.getvalue() == ""
