"""A polite end: SIGTERM and Ctrl-C are noted, the step is finished, the run is saved."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax


class Stopped(RuntimeError):
    """The run was asked to stop, and was saved first.

    Attributes:
      exit_code: by which shells and schedulers know what ended the program: 128 and the signal's number.
    """

    def __init__(self, name: str, step: int, run_dir: Path):
        super().__init__(f"{name} at step {step}; saved to {run_dir}, the same command goes on")
        self.exit_code = 128 + signal.Signals[name]


def until_pause(stop: Callable[[], str], minutes: float) -> Callable[[], bool]:
    """A function that tells whether it is time to save: the run was asked to stop, or so long has gone by since now.

    Time does not count where several processes train together: their clocks differ, and all must save the same step.
    """
    end = time.monotonic() + 60 * minutes if jax.process_count() == 1 else math.inf
    return lambda: bool(stop()) or time.monotonic() > end


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], str]]:
    """Yields a function that names the signal received so far, or the empty string.

    A second one acts at once, as it would without us. Outside the main thread signals cannot be caught: none is.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
