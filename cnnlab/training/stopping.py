"""Stopping on SIGTERM and Ctrl-C: training finishes the current step and saves the run."""

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point

from cnnlab.runtime.distributed import gathered

ASKED_STEPS = 100  # steps after which several processes ask the first one for the time


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

    If several processes train together, the clock of the first one counts, and it is asked only after each
    `ASKED_STEPS` calls, because all must save the same step.

    Args:
      stop: function from `stop_signals`.
      minutes: time from now until the next save.
    """
    end = time.monotonic() + 60 * minutes
    if jax.process_count() == 1:
        return lambda: bool(stop()) or time.monotonic() > end
    calls = itertools.count(1)
    return lambda: (
        bool(stop())
        or (next(calls) % ASKED_STEPS == 0 and gathered("save" if time.monotonic() > end else "")[0] == "save")
    )


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], str]]:
    """Yields a function that returns the name of the signal that arrived, or an empty string.

    A second signal has its usual effect. Outside the main thread Python cannot catch signals, so nothing is caught.

    If several processes train together, a signal to one of them stops all at the same step: every process must call
    the function equally often. JAX's runtime notices SIGTERM and agrees on the step; Ctrl-C is passed on as SIGTERM.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    several = jax.process_count() > 1
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)[: 1 if several else 2]}

    def note(number: int, frame) -> None:
        signal.signal(number, before[number])
        if several:
            signal.raise_signal(signal.SIGTERM)
        else:
            received.append(signal.Signals(number).name)

    calls = itertools.count()

    def agreed() -> str:
        if not received and reached_preemption_sync_point(next(calls)):
            received.append(signal.SIGTERM.name)
        return received[0] if received else ""

    for number in before:
        signal.signal(number, note)
    try:
        yield agreed if several else lambda: received[0] if received else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
