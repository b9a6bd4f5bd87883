"""Dynamic batches: requests that arrive together are computed together, and answered in the order of their arrival."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from cnnlab.app.refusals import Refusal

SIZES = (1, 8, 32)
"""Sizes to which batches are padded; each is one compiled program."""
LINGER = 0.002  # seconds for which a batch that is not full waits for more requests
WAITING = 256  # requests in the queue

_KEPT = 1000  # of the latest requests and batches, for the quantiles

Submit = Callable[[Hashable, Any], Awaitable[Any]]
"""A function `(kind, item)` that waits for the result of an item; items of one kind share a batch."""
Compute = Callable[[Hashable, list[Any]], Sequence[Any]]
"""A function of a kind and its items, at most as many as the largest batch, that returns a result for each."""


def padded(number: int) -> int:
    """Returns the smallest size of `SIZES` that holds a number of items.

    >>> padded(1), padded(2), padded(9)
    (1, 8, 32)
    """
    return next(size for size in SIZES if size >= number)


class Times:
    """Counts of a server, and the times of its latest requests and batches."""

    def __init__(self):
        self.items = self.batches = 0
        self.waiting: deque[float] = deque(maxlen=_KEPT)
        self.computing: deque[float] = deque(maxlen=_KEPT)

    def add(self, waited: Sequence[float], computed: float) -> None:
        """Adds a batch: the seconds for which each of its items waited, and the seconds of its computation."""
        self.items += len(waited)
        self.batches += 1
        self.waiting.extend(waited)
        self.computing.append(computed)

    def report(self) -> dict[str, Any]:
        """Returns counts, and the median and the 95 % quantile of the latest times in milliseconds."""
        times = {"waiting_ms": self.waiting, "computing_ms": self.computing}
        counts = {"images": self.items, "batches": self.batches}
        return counts | {name: _quantiles(part) for name, part in times.items()}


def _quantiles(seconds: Sequence[float]) -> dict[str, float | None]:
    if not seconds:
        return {"p50": None, "p95": None}
    return {f"p{q}": round(1000 * float(np.percentile(seconds, q)), 3) for q in (50, 95)}


class _Job(NamedTuple):
    kind: Hashable
    item: Any
    result: asyncio.Future
    arrived: float


@contextlib.asynccontextmanager
async def batching(
    compute: Compute,
    *,
    largest: int = SIZES[-1],
    linger: float = LINGER,
    waiting: int = WAITING,
    times: Times | None = None,
) -> AsyncIterator[Submit]:
    """Yields `submit`, whose items are computed in batches, in one thread, in the order of their arrival.

    A batch holds consecutive items of one kind. It starts as soon as it is full, or `linger` seconds after the thread
    is free and the first item is there. An error of `compute` becomes the error of all items of its batch.

    Args:
      compute: function of a batch.
      largest: most items of a batch.
      linger: seconds for which a batch waits for more items.
      waiting: most items that wait; `submit` refuses others with status 503 and Retry-After.
      times: where the times are counted.

    >>> async def three():
    ...     async with batching(lambda kind, items: [kind * item for item in items]) as submit:
    ...         return await asyncio.gather(submit(2, 5), submit(2, 6), submit(3, 7))
    >>> asyncio.run(three())
    [10, 12, 21]
    """
    jobs: deque[_Job] = deque()
    arrived, loop, times = asyncio.Event(), asyncio.get_running_loop(), times or Times()

    async def submit(kind: Hashable, item: Any) -> Any:
        if len(jobs) >= waiting:
            raise Refusal(503, f"{waiting} requests are waiting already; try again in a moment", retry_after=1)
        job = _Job(kind, item, loop.create_future(), time.perf_counter())
        jobs.append(job)
        arrived.set()
        return await job.result

    def next_batch() -> list[_Job]:
        batch: list[_Job] = []
        while jobs and len(batch) < largest and (not batch or jobs[0].kind == batch[0].kind):
            job = jobs.popleft()
            if not job.result.done():  # otherwise its client has gone
                batch.append(job)
        return batch

    async def work(thread: ThreadPoolExecutor) -> None:
        while True:
            await arrived.wait()
            if len(jobs) < largest:
                await asyncio.sleep(linger)
            batch = next_batch()
            if not jobs:
                arrived.clear()
            if not batch:
                continue
            started = time.perf_counter()
            items = [job.item for job in batch]
            try:
                results = await loop.run_in_executor(thread, compute, batch[0].kind, items)
                answers = list(zip(batch, results, strict=True))
            except asyncio.CancelledError:
                jobs.extendleft(batch)
                raise
            except Exception as error:
                answers = [(job, error) for job in batch]
            times.add([started - job.arrived for job in batch], time.perf_counter() - started)
            for job, result in answers:
                _answer(job.result, result)

    thread = ThreadPoolExecutor(1, "compute")
    worker = asyncio.create_task(work(thread))
    try:
        yield submit
    finally:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        for job in jobs:
            job.result.cancel()
        thread.shutdown(wait=False, cancel_futures=True)


def _answer(future: asyncio.Future, result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
