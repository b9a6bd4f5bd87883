import asyncio
import threading

import pytest

from cnnlab.app.batching import Times, batching
from cnnlab.app.refusals import Refusal


def together(compute, kinds, **options):
    """Submits the numbers 0, 1, ... of these kinds at once, and returns their results."""

    async def submit_all():
        async with batching(compute, **options) as submit:
            return await asyncio.gather(*(submit(kind, i) for i, kind in enumerate(kinds)), return_exceptions=True)

    return asyncio.run(submit_all())


def test_requests_that_come_at_once_share_batches_and_are_answered_in_order():
    batches = []
    results = together(lambda kind, items: batches.append(items) or [10 * item for item in items], "a" * 30, largest=8)
    assert results == [10 * i for i in range(30)]
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]


def test_a_batch_holds_consecutive_requests_of_one_kind():
    batches = []
    together(lambda kind, items: batches.append((kind, items)) or items, "aabba")
    assert batches == [("a", [0, 1]), ("b", [2, 3]), ("a", [4])]


def test_requests_that_come_a_moment_later_join_the_batch():
    async def two():
        async with batching(lambda kind, items: [len(items)] * len(items), linger=0.2) as submit:
            first = asyncio.create_task(submit("a", 0))
            await asyncio.sleep(0.01)
            return await submit("a", 1), await first

    assert asyncio.run(two()) == (2, 2)


def test_a_full_queue_refuses_more_and_says_when_to_try_again():
    results = together(lambda kind, items: items, "a" * 5, waiting=3)
    assert results[:3] == [0, 1, 2]
    assert [(error.status, error.retry_after) for error in results[3:]] == [(503, 1)] * 2
    assert all(isinstance(error, Refusal) for error in results[3:])


def test_an_error_belongs_to_its_batch_and_the_next_one_is_computed():
    def compute(kind, items):
        if kind == "bad":
            raise ZeroDivisionError
        return items

    first, second, third = together(compute, ["bad", "bad", "good"])
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, ZeroDivisionError)
    assert third == 2


def test_a_wrong_number_of_results_is_an_error_and_leaves_nobody_waiting():
    assert all(isinstance(result, ValueError) for result in together(lambda kind, items: [], "aa"))


def test_a_client_that_has_gone_is_left_out():
    batches = []

    async def cancel_one():
        async with batching(lambda kind, items: batches.append(items) or items) as submit:
            gone, here = asyncio.create_task(submit("a", 0)), asyncio.create_task(submit("a", 1))
            await asyncio.sleep(0)
            gone.cancel()
            return await here

    assert asyncio.run(cancel_one()) == 1
    assert batches == [[1]]


def test_the_end_cancels_those_who_wait():
    go = threading.Event()

    async def leave():
        async with batching(lambda kind, items: go.wait(10) and items, largest=1) as submit:
            tasks = [asyncio.create_task(submit("a", i)) for i in range(2)]
            await asyncio.sleep(0.05)
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in asyncio.run(leave())] == [asyncio.CancelledError] * 2


def test_quantiles_are_of_the_latest_times_in_milliseconds():
    times = Times()
    assert times.report()["waiting_ms"] == {"p50": None, "p95": None}
    for i in range(1, 102):
        times.add([i / 1000], 0.002)
    report = times.report()
    assert (report["images"], report["batches"]) == (101, 101)
    assert report["waiting_ms"] == {"p50": pytest.approx(51), "p95": pytest.approx(96)}
    assert report["computing_ms"] == {"p50": 2, "p95": 2}
