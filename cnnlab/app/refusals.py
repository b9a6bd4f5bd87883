"""Errors of a request: an HTTP status and a sentence that says what is allowed, answered as JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
"""An ASGI application."""


class Refusal(ValueError):
    """A request is refused.

    Attributes:
      status: HTTP status of the answer.
      retry_after: seconds after which the client may try again, or None.
    """

    def __init__(self, status: int, reason: str, *, retry_after: int | None = None):
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


async def send_refusal(send: Send, refusal: Refusal) -> None:
    """Answers a request with a refusal: the JSON object `{"error": REASON}`."""
    body = json.dumps({"error": str(refusal)}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Returns headers as ASGI's pairs of bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def json_errors() -> dict:
    """Returns Starlette's `exception_handlers` that answer every error as JSON, as `send_refusal` does."""
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse

    def refused(_, error: Refusal) -> JSONResponse:
        headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return JSONResponse({"error": str(error)}, error.status, headers)

    def unknown_path(request, error: HTTPException) -> JSONResponse:
        reason = {
            404: f"there is no page {request.url.path!r}; the pages are listed at /",
            405: f"{request.url.path} does not take {request.method}; the pages are listed at /",
        }.get(error.status_code, error.detail)
        return JSONResponse({"error": reason}, error.status_code, error.headers)

    def failed(_, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the server failed; its terminal shows the reason"}, 500)

    return {Refusal: refused, HTTPException: unknown_path, Exception: failed}
