"""Runs an ASGI application on a socket of this machine until Ctrl-C."""

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cnnlab.app.connections import with_deadlines
from cnnlab.app.limits import Limits, limited
from cnnlab.app.refusals import App
from cnnlab.console import console

if TYPE_CHECKING:
    import uvicorn

HOST, PORT = "127.0.0.1", 8000
INTERRUPTED = 130  # exit code of a second Ctrl-C

_LOWEST, _HIGHEST = 1024, 65535
_TRIES = 20  # ports after a taken one
_GRACE = 3  # seconds for the requests that are being answered when the server stops


def bind(host: str = HOST, port: int = PORT) -> socket.socket:
    """Binds a socket to a host and a port; if the port is taken, to the next free one, which it says.

    Args:
      host: name or address of this machine; a warning says so if others can reach it.
      port: 1024 to 65535, or 0 for any free port.

    Raises:
      ValueError: the port is out of range, the host is not this machine, or all ports that were tried are taken.

    >>> with bind(port=0) as listener:
    ...     address(listener).startswith("http://127.0.0.1:")
    True
    """
    if port and not _LOWEST <= port <= _HIGHEST:
        reason = "belongs to the system" if 0 < port < _LOWEST else "is no port"
        raise ValueError(f"port {port} {reason}; choose {_LOWEST} to {_HIGHEST}, or 0 for any free port")
    out = console()
    for chosen in range(port, min(port + _TRIES, _HIGHEST) + 1) if port else (0,):
        with contextlib.suppress(_Taken):
            listener = _listen(host, chosen)
            if chosen != port:
                out.print(f"port {port} is taken; port {chosen} is used instead")
            if not _is_loopback(listener):
                out.print(f"anyone who reaches {host} can use this server: it asks for no password")
            return listener
    raise ValueError(f"the ports {port} to {chosen} are taken; choose another by --port, or 0 for any free port")


def address(listener: socket.socket) -> str:
    """Returns the URL of a bound socket; a socket of all addresses has the loopback's."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: App,
    listener: socket.socket,
    *,
    limits: Limits = Limits(),
    title: str = "serving",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves an application within limits until Ctrl-C or SIGTERM.

    The first Ctrl-C lets the requests that are being answered finish, for a few seconds, and raises
    `KeyboardInterrupt`; the second one ends the process at once.

    Args:
      app: ASGI application; it must be ready to answer once its `lifespan` has started.
      listener: socket of `bind`, which is closed at the end.
      limits: limits of the requests.
      title: beginning of the line that announces the address.
      ready: function that gets the URL once the server answers, and must return at once.
    """

    def announce(url: str) -> None:
        console().print(f"{title} at {url} (Ctrl-C stops)")
        if ready is not None:
            ready(url)

    with listener:
        create_server(app, listener, limits=limits, ready=announce).run([listener])


def create_server(
    app: App, listener: socket.socket, *, limits: Limits = Limits(), ready: Callable[[str], None]
) -> "uvicorn.Server":
    """Returns uvicorn's server of an application; its method `run([listener])` ends once `should_exit` is true.

    The arguments are those of `run`.
    """
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets=None) -> None:
            await super().startup(sockets)
            if self.started and not self.should_exit:
                ready(address(listener))

        def handle_exit(self, sig, frame) -> None:
            if self.should_exit and sig == signal.SIGINT:
                sys.stderr.flush()
                os._exit(INTERRUPTED)  # a thread that compiles would be waited for
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        limited(app, limits),
        http=with_deadlines(H11Protocol, limits.seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
    )
    return Server(config)


@contextlib.contextmanager
def serving(app: App, *, limits: Limits = Limits()) -> Iterator[str]:
    """Serves an application in a thread, on a free port of the loopback, and yields its URL once it answers.

    Args:
      app: ASGI application.
      limits: limits of the requests.

    Raises:
      RuntimeError: the application does not start.

    >>> from starlette.applications import Starlette
    >>> with serving(Starlette()) as url:
    ...     url.startswith("http://127.0.0.1:")
    True
    """
    done, urls = threading.Event(), []

    def ready(url: str) -> None:
        urls.append(url)
        done.set()

    with bind(port=0) as listener:
        server = create_server(app, listener, limits=limits, ready=ready)

        def work() -> None:
            try:
                server.run([listener])
            finally:
                done.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            done.wait()
            if not urls:
                raise RuntimeError("the application did not start; its error is above")
            yield urls[0]
        finally:
            server.should_exit = True
            thread.join()


class _Taken(Exception):
    """The port is in use."""


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(where[:2], family=family, backlog=128)
    except socket.gaierror as error:
        raise ValueError(f"host {host!r} is unknown; give a name or an address of this machine") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _Taken from error
        raise ValueError(f"cannot serve on {host}, port {port}: {error.strerror}; choose another --host") from error


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
