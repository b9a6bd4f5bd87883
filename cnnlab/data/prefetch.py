"""Computation of results ahead of their consumer, on other threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def ahead(
    function: Callable[[Any], Any], arguments: Iterable[Any], *, depth: int = 2, threads: int = 1
) -> Iterator[Any]:
    """Yields `map(function, arguments)` in order, and computes up to `depth` results ahead while the consumer is busy.

    An exception of `function` is raised in place of its result. If the consumer stops early, the calls that have not
    begun are cancelled, and those that have begun are awaited, so that no thread outlives the loop. So many threads
    compute at once; with more than one, `function` must allow that.

    >>> list(ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, found {depth}")
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        pending: deque = deque()
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
