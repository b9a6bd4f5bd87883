from types import SimpleNamespace

from cnnlab.training import progress
from cnnlab.training.experiment import Training


def test_the_time_that_remains_is_told_once_after_three_seconds_of_steps(monkeypatch, tmp_path):
    clock, out = [0.0], progress.LoggingConsole([tmp_path / "log.txt"], quiet=True)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with progress.bar(out, Training(epochs=10), steps=100, step=0) as (tick, _):
        for step in range(1, 101):
            clock[0] = 0.1 * step
            tick(step)
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    # The first step after 3 s is the 31st: 969 of 1,000 remain, of 0.1 s each.
    assert line.endswith("  about 1.6 min for the last 969 steps")
