"""A polite end: SIGTERM and Ctrl-C are noted, the step is finished, the run is saved."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Stopped(RuntimeError):
    """The run was asked to stop, and was saved first."""


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
