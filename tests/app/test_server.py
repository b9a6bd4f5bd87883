import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time

import pytest
from serving import serving

from cnnlab.app.server import address, bind


async def hello(scope, receive, send):
    """Answers with a megabyte."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(1 << 20)})


def get(port, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return connection.getresponse().status


def drain(client):
    """Reads until the server closes a connection; returns the seconds that it took and the bytes."""
    started, read = time.monotonic(), 0
    client.settimeout(10)
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            read += len(part)
    return time.monotonic() - started, read


def test_a_taken_port_is_told_and_the_next_one_is_used(capsys):
    with bind(port=0) as first:
        taken = first.getsockname()[1]
        with bind(port=taken) as second:
            assert taken < second.getsockname()[1] <= taken + 20
            assert f"port {taken} is taken; port {second.getsockname()[1]} is used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("port", "reason"),
    [(80, "belongs to the system"), (70_000, "is no port"), (-1, "is no port"), (1023, "1024 to 65535")],
)
def test_a_port_out_of_range_is_refused_in_words(port, reason):
    with pytest.raises(ValueError, match=reason):
        bind(port=port)


def test_a_host_that_is_not_this_machine_is_refused():
    with pytest.raises(ValueError, match="host 'no.such.host.invalid' is unknown"):
        bind("no.such.host.invalid", 0)
    with pytest.raises(ValueError, match="cannot serve on 192.0.2.1"):  # RFC 5737's address of nobody
        bind("192.0.2.1", 0)


def test_a_server_that_others_can_reach_says_so(capsys):
    with bind(port=0) as listener:
        assert address(listener).startswith("http://127.0.0.1:")
    assert capsys.readouterr().err == ""
    with bind("0.0.0.0", 0) as listener:
        assert address(listener).startswith("http://localhost:")
    assert "asks for no password" in capsys.readouterr().err


def test_a_client_whose_headers_come_slowly_is_left_and_hurts_no_other():
    with serving(hello, seconds=0.5) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
        started = time.monotonic()
        assert get(port) == 200
        assert time.monotonic() - started < 0.4
        assert drain(slow) < (3, 1)


def test_a_client_that_does_not_read_its_answer_is_left():
    with serving(hello, seconds=0.3) as port, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(20 * f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        time.sleep(1.5)
        assert get(port) == 200
        seconds, read = drain(slow)
        assert seconds < 3
        assert read < 20 << 20


def test_what_is_no_http_gets_400():
    with serving(hello) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\x00\xff\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_stops_the_server_and_a_second_one_at_once(interrupts):
    code = f"""
import asyncio
from starlette.applications import Starlette
from starlette.routing import Route
from cnnlab.app.server import bind, run

async def slow(request):
    print("asked", flush=True)
    await asyncio.sleep({60 if interrupts == 2 else 0})

run(Starlette(routes=[Route("/", slow)]), bind(port=0), ready=lambda url: print(url, flush=True))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        port = int(child.stdout.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert child.stdout.readline() == "asked\n"
            started = time.monotonic()
            for _ in range(interrupts):
                child.send_signal(signal.SIGINT)
                time.sleep(0.3)
            child.wait(10)
        assert time.monotonic() - started < 2.5
        assert child.returncode in (130, -signal.SIGINT)
        assert (child.returncode == 130) == (interrupts == 2)
