"""The time for which the device waits for the next batch."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from cnnlab.training.step import Batch, Metrics

MUCH = 0.1  # share of the time from which reading faster is worth it


class Waiting:
    """Measures for how long the device has nothing to do because the next batch is not read yet.

    A batch that is read while the device still computes the step before costs nothing. A thread notes when each step
    ends, so that the steps themselves are not slowed down.

    >>> waiting = Waiting()
    >>> [batch for batch in waiting.timed(iter("ab"))], waiting.taken() < 1
    (['a', 'b'], True)
    """

    def __init__(self):
        self._seconds = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="waiting")
        self._end: Future[float] | None = None

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yields batches and adds up for how long the device waits for each one."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            now = time.perf_counter()
            if self._end is None:
                self._seconds += now - asked
            elif self._end.done():
                self._seconds += max(0.0, now - max(asked, self._end.result()))
            yield batch

    def started(self, metrics: Metrics) -> None:
        """Notes that a step has started, which ends when its metrics are there."""
        self._end = self._thread.submit(_end, metrics)

    def taken(self) -> float:
        """Returns the seconds since the last call; the next step counts as the first one."""
        seconds, self._seconds, self._end = self._seconds, 0.0, None
        return seconds


def _end(metrics: Metrics) -> float:
    jax.block_until_ready(metrics)
    return time.perf_counter()


def waited(history: Sequence[Mapping[str, float]]) -> str | None:
    """Returns a sentence on the share of the time in which the device waited; None if no epoch measured it.

    >>> waited([{"seconds": 10.0, "waiting": 0.04}, {"seconds": 30.0, "waiting": 0.0}])
    'the step waited for data 1 % of the time'
    """
    rows = [row for row in history if "waiting" in row and row.get("seconds", 0) > 0]
    if not rows:
        return None
    share = sum(row["waiting"] * row["seconds"] for row in rows) / sum(row["seconds"] for row in rows)
    advice = "; `cnnlab data pack` and a smaller --data.size make reading faster" if share > MUCH else ""
    return f"the step waited for data {100 * share:.0f} % of the time{advice}"
