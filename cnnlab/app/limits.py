"""Limits around an ASGI application: who may ask, how much, how slowly, and what a browser may do with the answer."""

import asyncio
import base64
import contextlib
import dataclasses
import functools
import hashlib
import ipaddress
from collections.abc import Mapping, MutableMapping
from typing import Any

from cnnlab.app.refusals import App, Message, Receive, Refusal, Send, encoded, send_refusal

LOOPBACK = ("localhost", "127.0.0.1", "::1")
AT_ONCE = 8  # bodies of the largest size that are held at the same time

_HTTP_PORT = 80  # which a Host header may leave out
_DIGITS = 18  # of an announced length


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of every request.

    Attributes:
      max_bytes: most bytes of a body; all bodies together may take `AT_ONCE` times as many.
      seconds: time in which a body must arrive.
      hosts: names under which the server may be addressed, in addition to the loopback's and to the address that
        accepted the connection: `name`, with the port that the server is bound to, or `name:port`.
    """

    max_bytes: int = 16 << 20
    seconds: float = 10.0
    hosts: tuple[str, ...] = ()

    def __post_init__(self):
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, found {self.max_bytes}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be above 0, found {self.seconds}")


def limited(app: App, limits: Limits = Limits()) -> App:
    """Wraps an ASGI application so that it sees only requests within the limits, with their whole body.

    A request is refused, with a status and `{"error": REASON}`, if

    - it names another host or port than the server's (403), so that no foreign name can be rebound to the loopback;
    - it comes from a page of another origin (403);
    - its body is larger than `max_bytes` (413), announced or sent, or takes longer than `seconds` (408);
    - all bodies together would take too much memory (503, with Retry-After).

    The application reads the body at once: it is received before the application is called. Every answer gets the
    headers of `SECURITY`, unless the application sets one itself.
    """
    held = 0  # bytes of all bodies

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        nonlocal held
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send, body = _secured(send), bytearray()

        async def read() -> None:
            nonlocal held
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                part, more = message.get("body", b""), message.get("more_body", False)
                if len(body) + len(part) > limits.max_bytes:
                    raise _too_large(limits)
                if held + len(part) > AT_ONCE * limits.max_bytes:
                    raise Refusal(503, "too many uploads at once; try again in a moment", retry_after=1)
                held += len(part)
                body.extend(part)

        try:
            headers = _headers(scope)
            _check_host(headers, scope.get("server"), limits)
            _check_origin(headers, scope["scheme"])
            _check_length(headers, limits)
            async with asyncio.timeout(limits.seconds):
                await read()
        except TimeoutError:
            reason = f"the body did not arrive within {limits.seconds:g} seconds"
            await send_refusal(send, Refusal(408, reason))
        except Refusal as refusal:
            await send_refusal(send, refusal)
        except ConnectionResetError:
            pass
        else:
            await app(scope, _whole(bytes(body), receive), send)
        finally:
            held -= len(body)

    return application


def content_policy(*styles: str) -> str:
    """Returns the Content-Security-Policy: everything from this server alone, nothing framed.

    Args:
      *styles: contents of the page's `<style>` elements, which are allowed by their digests.

    >>> "style-src 'self' 'sha256-" in content_policy("p {color: red}")
    True
    """
    digests = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles)
    sources = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    return (
        f"default-src 'self'; style-src {sources}; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )


SECURITY: Mapping[str, str] = {
    "content-security-policy": content_policy(),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer."""

_SECURITY = dict(encoded(SECURITY))


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower(), value) for name, value in message.get("headers", ())]
            missing = _SECURITY.keys() - {name for name, _ in own}
            message = {**message, "headers": own + [(name, _SECURITY[name]) for name in sorted(missing)]}
        await send(message)

    return secured


def _whole(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that gives the whole body first, then what the connection sends."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def whole() -> Message:
        return first.pop() if first else await receive()

    return whole


def _headers(scope: Mapping[str, Any]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _check_host(headers: Mapping[str, list[str]], server: tuple[str, int | None] | None, limits: Limits) -> None:
    """Raises `Refusal` unless the one Host header names this server; a foreign name could be rebound to it."""
    address, port = server or (LOOPBACK[0], None)
    names = headers.get("host", [])
    if len(names) == 1 and _split(names[0].lower(), str(_HTTP_PORT)) in _own_hosts(address, str(port), limits.hosts):
        return
    raise Refusal(
        403,
        f"this server is not {', '.join(names) or 'named'}: address it as http://localhost:{port}, or start it with "
        "--hosts NAME",
    )


def _check_origin(headers: Mapping[str, list[str]], scheme: str) -> None:
    """Raises `Refusal` for a request that a page of another origin sends."""
    origins = headers.get("origin", [])
    if origins and origins != [f"{scheme}://{headers['host'][0]}"]:
        raise Refusal(403, f"pages of {', '.join(origins)} may not use this server; open it in a page of its own")


def _check_length(headers: Mapping[str, list[str]], limits: Limits) -> None:
    """Raises `Refusal` for a body that is announced as too large."""
    for length in headers.get("content-length", []):
        if len(length) > _DIGITS or (length.isdecimal() and int(length) > limits.max_bytes):
            raise _too_large(limits)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"the body has more than {limits.max_bytes:,} bytes; shrink the image")


@functools.lru_cache(maxsize=16)
def _own_hosts(address: str, port: str, hosts: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Returns the names and ports by which the server may be addressed at this address and port."""
    own = {(_plain(host), port) for host in (*LOOPBACK, address)}
    return frozenset(own | {_split(host.lower(), port) for host in hosts})


@functools.lru_cache(maxsize=64)
def _split(host: str, default: str) -> tuple[str, str]:
    """Splits a Host header into its name and its port, or a default port.

    >>> _split("[::1]:8000", "80"), _split("localhost", "80")
    (('::1', '8000'), ('localhost', '80'))
    """
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, None
    return _plain(name.removeprefix("[").removesuffix("]")), port or default


def _plain(address: str) -> str:
    """Returns a numeric address in its usual form: an IPv4 address that came through IPv6 as IPv4."""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return address
