"""Progress of a long run with and without a terminal."""

import datetime
import io
from types import SimpleNamespace

import pytest
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


def test_a_logging_console_keeps_texts_with_their_time_even_if_it_is_quiet(tmp_path, capsys):
    out = console.LoggingConsole([tmp_path / "log.txt"], quiet=True)
    out.print("one\ntwo")
    out.print(Progress())
    out.log_line("three")
    assert capsys.readouterr().err == ""
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.partition("  ")[2] for line in lines] == ["one", "two", "three"]
    assert all(datetime.datetime.fromisoformat(line.partition("  ")[0]).tzinfo for line in lines)


def test_a_log_does_not_follow_a_link(tmp_path):
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"log\.txt"):
        console.LoggingConsole([tmp_path / "log.txt"], quiet=True).print("one")
    assert not (tmp_path / "elsewhere").exists()
