"""Stopping on SIGTERM and Ctrl-C: training finishes the current step and saves the run."""

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from cnnlab.runtime.distributed import gathered

ASKED_STEPS = 10  # steps after which several processes ask each other whether to stop, which takes about a millisecond


class Stopped(RuntimeError):
    """A signal stopped the run, after the run was saved.

    Attributes:
      exit_code: 128 plus the number of the signal, as shells and schedulers expect.
    """

    def __init__(self, name: str, step: int, run_dir: Path):
        super().__init__(f"{name} at step {step}; saved to {run_dir}, the same command goes on")
        self.exit_code = 128 + signal.Signals[name]


def until_pause(stop: Callable[[], str], minutes: float) -> Callable[[], bool]:
    """Returns a function that is true when it is time to save: after a signal, or after some minutes.

    If several processes train together, it asks for signals, and the first one for the time, at each `ASKED_STEPS`-th
    call only.

    Args:
      stop: function from `stop_signals`.
      minutes: time from now until the next save.
    """
    end = time.monotonic() + 60 * minutes
    if jax.process_count() == 1:
        return lambda: bool(stop()) or time.monotonic() > end
    calls = itertools.count(1)

    def pause() -> bool:
        if next(calls) % ASKED_STEPS:
            return False
        return bool(stop()) or gathered("over" if time.monotonic() > end else "")[0] == "over"

    return pause


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], str]]:
    """Yields a function that returns the name of the signal that arrived, or an empty string.

    A second signal has its usual effect. Outside the main thread Python cannot catch signals, so nothing is caught.

    If several processes train together, a signal to one of them stops all: each call exchanges what arrived, so every
    process must call the function equally often.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    agreed: list[str] = []

    def name() -> str:
        if not agreed:
            agreed.extend(filter(None, gathered(received[0] if received else "")))
        return agreed[0] if agreed else ""

    for number in before:
        signal.signal(number, note)
    try:
        yield name
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
