import asyncio

import pytest

from cnnlab.app.limits import AT_ONCE, Limits, content_policy, limited

OWN = {"host": "localhost:8000"}


async def answer_length(scope, receive, send):
    """Answers with the number of bytes of the body."""
    body = str(len((await receive())["body"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"SAMEORIGIN")]})
    await send({"type": "http.response.body", "body": body})


def connection(headers, parts, waits=0.0):
    """Returns a request's scope, its `receive`, and the list of parts that were not received yet."""
    left = list(parts)
    names = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/", "server": ("127.0.0.1", 8000), "headers": names}

    async def receive():
        await asyncio.sleep(waits)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return scope, receive, left


async def ask(app, headers=OWN, parts=(b"",), waits=0.0):
    """Returns status, headers and body of the answer, and the number of parts that were not received."""
    scope, receive, left = connection(headers, parts, waits)
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"], len(left)


def status(headers=OWN, parts=(b"",), limits=Limits(), **options):
    return asyncio.run(ask(limited(answer_length, limits), headers, parts, **options))[0]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_the_loopback_s_names_are_answered(host):
    assert status({"host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "localhost", "localhost:80", "localhost:8001", "localhost.evil.example:8000", "", ":8000"],
)
def test_a_foreign_name_or_port_is_refused_so_that_no_name_can_be_rebound(host):
    assert status({"host": host}) == 403


def test_a_request_without_a_host_is_refused():
    assert status({}) == 403


def test_more_names_are_answered_if_they_are_allowed():
    limits = Limits(hosts=("lab.example", "localhost:9000"))
    hosts = ("lab.example:8000", "lab.example:9000", "localhost:9000", "localhost:8000")
    assert [status({"host": host}, limits=limits) for host in hosts] == [200, 403, 200, 200]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("http://127.0.0.1:8000", 403),
        ("https://localhost:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
def test_only_pages_of_the_server_itself_may_ask(origin, expected):
    assert status(OWN | {"origin": origin}) == expected


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_read():
    headers = OWN | {"content-length": "11"}
    code, _, body, left = asyncio.run(ask(limited(answer_length, Limits(max_bytes=10)), headers, [b"x" * 11]))
    assert (code, left) == (413, 1)
    assert body == b'{"error": "the body has more than 10 bytes; shrink the image"}'


def test_a_body_without_a_length_is_read_up_to_the_limit():
    code, *_, left = asyncio.run(ask(limited(answer_length, Limits(max_bytes=10)), parts=[b"xxxx"] * 5))
    assert (code, left) == (413, 2)
    assert asyncio.run(ask(limited(answer_length, Limits(max_bytes=10)), parts=[b"xxxx", b"xxxxxx"]))[::2] == (
        200,
        b"10",
    )


def test_a_body_that_comes_slowly_is_refused():
    assert status(parts=[b"x"] * 50, waits=0.02, limits=Limits(seconds=0.05)) == 408


def test_all_bodies_together_are_bounded_and_freed_after_their_answers():
    app = limited(answer_length, Limits(max_bytes=10))

    async def ask_at_once(number):
        return [
            answer[0]
            for answer in await asyncio.gather(*(ask(app, parts=[b"x" * 10], waits=0.01) for _ in range(number)))
        ]

    async def hold(scope, receive, send):
        await asyncio.sleep(0.05)
        await answer_length(scope, receive, send)

    async def held(number):
        holding = limited(hold, Limits(max_bytes=10))
        return sorted([a[0] for a in await asyncio.gather(*(ask(holding, parts=[b"x" * 10]) for _ in range(number)))])

    assert asyncio.run(held(AT_ONCE + 2)) == [200] * AT_ONCE + [503] * 2
    assert asyncio.run(ask_at_once(3)) + asyncio.run(ask_at_once(AT_ONCE)) == [200] * (3 + AT_ONCE)


def test_every_answer_has_security_headers_and_keeps_its_own():
    _, headers, *_ = asyncio.run(ask(limited(answer_length)))
    assert headers[b"content-security-policy"].decode() == content_policy()
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    _, headers, *_ = asyncio.run(ask(limited(answer_length), {}))
    assert headers[b"x-frame-options"] == b"DENY"


def test_web_sockets_are_closed():
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(limited(answer_length)({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"seconds": 0}, {"seconds": float("nan")}])
def test_limits_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Limits(**wrong)
