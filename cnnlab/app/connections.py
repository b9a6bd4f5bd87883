"""Deadlines of a connection that uvicorn lacks: for headers that come slowly and for answers that nobody reads."""

import asyncio
from typing import Any


def with_deadlines(protocol: type[asyncio.Protocol], seconds: float) -> type[asyncio.Protocol]:
    """Returns a subclass of an HTTP protocol of uvicorn that closes slow connections.

    A connection is closed if the headers of a request take longer than `seconds`, or if its client does not read the
    answer for as long. The body's deadline is in `limits.py`.

    Args:
      protocol: uvicorn's protocol; its attribute `cycle` is the request that is answered, or None.
      seconds: the deadline.
    """

    class WithDeadlines(protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._reading = self._writing = None
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect_headers()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._writing = _later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._writing = _cancelled(self._writing)

        def connection_lost(self, error: Exception | None) -> None:
            self._reading, self._writing = _cancelled(self._reading), _cancelled(self._writing)
            super().connection_lost(error)

        def _expect_headers(self) -> None:
            """Starts the deadline of the headers, unless it runs or a request is being answered."""
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering:
                self._reading = _cancelled(self._reading)
            elif self._reading is None:
                self._reading = _later(seconds, self.transport.abort)

    return WithDeadlines


def _later(seconds: float, call: Any) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, call)


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
