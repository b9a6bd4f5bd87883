"""The application of `cnnlab draw`: its page, and what the page asks the network."""

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.app.batching import batching
from cnnlab.app.drawing import PAGE
from cnnlab.app.images import read_upload
from cnnlab.app.photos import Viewer
from cnnlab.app.reading import Drawing, Reader, Unit
from cnnlab.app.refusals import Refusal, json_errors
from cnnlab.errors import unknown
from cnnlab.files.strict_json import without_nan

if TYPE_CHECKING:
    from starlette.applications import Starlette

STATIC: Mapping[str, str] = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            "main.js",
            "ask.js",
            "bars.js",
            "canvas.js",
            "drawing.js",
            "handles.js",
            "layers.js",
            "photo.js",
            "pictures.js",
            "strings.js",
        ),
        "text/javascript; charset=utf-8",
    ),
}
"""The files of the page and their content types; no other file is ever opened."""

_NUMBERS = {"turn": 180.0, "right": 64.0, "down": 64.0}
"""Parameters of a drawing in the query, and their largest absolute value."""
_GREY = "application/octet-stream"


def application(own: Reader | Viewer, *, name: str = "a network", remark: str = "") -> "Starlette":
    """Returns the ASGI application of the page for a network; its programs must be compiled by `own.warm()`.

    Args:
      own: functions that read drawings or look at photos.
      name: name of the run on the page.
      remark: sentence that the page shows, such as why the training data are missing.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    pages = {file: (files("cnnlab.app") / "page" / file).read_bytes() for file in STATIC}
    about = {"run": name, "remark": remark} | own.about

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with batching(_one, largest=1, linger=0) as submit:
            app.state.submit = submit
            yield

    def page(file: str) -> Callable[[Request], Any]:
        async def send(_: Request) -> Response:
            return Response(pages[file], headers={"content-type": STATIC[file]})

        return send

    async def describe(_: Request) -> Response:
        return _json(about)

    def asks(function: Callable[[Any], dict], read: Callable[[Request, bytes], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            question = read(request, await request.body())
            with contextlib.suppress(asyncio.CancelledError):
                return _json(await request.app.state.submit(function, question))
            raise Refusal(503, "the server is stopping")

        return answer

    routes = [Route("/", page("index.html")), Route("/api/about", describe)]
    routes += [Route(f"/page/{file}", page(file)) for file in STATIC if file != "index.html"]
    if isinstance(own, Reader):
        reads = {"guess": (own.guess, _drawing), "layers": (own.layers, _drawing), "maps": (own.maps, _drawing)}
        reads["unit"] = (own.unit, _unit)
    else:
        reads = {"photo": (own.photo, _upload)}
    routes += [Route(f"/api/{path}", asks(*pair), methods=["POST"]) for path, pair in reads.items()]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=json_errors())


def _one(function: Callable[[Any], dict], items: list[Any]) -> list[dict | Exception]:
    """Answers one question; an error is its answer."""
    try:
        return [function(items[0])]
    except Refusal as refusal:
        return [refusal]
    except Exception as error:
        print(f"cnnlab draw: {type(error).__name__}: {error}", file=sys.stderr)
        raise


def _json(value: Any):
    from starlette.responses import Response

    return Response(json.dumps(without_nan(value)), media_type="application/json")


def _drawing(request: Any, body: bytes, *, also: tuple[str, ...] = ()) -> Drawing:
    """Reads a drawing from a request: grey bytes as the body, turn and shift in the query."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _GREY:
        raise Refusal(415, f"a drawing must be {_GREY}, found {kind[:80]!r}")
    if len(body) != PAGE * PAGE:
        raise Refusal(422, f"a drawing must have {PAGE}x{PAGE} bytes, one grey value a pixel, found {len(body):,}")
    known = (*_NUMBERS, *also)
    for parameter in request.query_params:
        if parameter not in known:
            raise Refusal(422, str(unknown("parameter", parameter[:80], known)))
    turn, right, down = (_number(request.query_params, each, limit) for each, limit in _NUMBERS.items())
    return Drawing(np.frombuffer(body, np.uint8).reshape(PAGE, PAGE), turn, (right, down))


def _unit(request: Any, body: bytes) -> Unit:
    """Reads a unit from a request: a drawing, and `layer` and `unit` in the query."""
    drawing = _drawing(request, body, also=("layer", "unit"))
    number = request.query_params.get("unit", "")
    if not (number.isascii() and number.isdecimal() and len(number) <= 6):
        raise Refusal(422, f"unit must be a number of 0 or more, found {number[:80]!r}")
    return Unit(drawing, request.query_params.get("layer", "")[:200], int(number))


def _upload(request: Any, body: bytes) -> Any:
    return read_upload(request.headers.get("content-type", ""), body)


def _number(parameters: Mapping[str, str], name: str, limit: float) -> float:
    text = parameters.get(name, "0")
    try:
        value = float(text[:40])
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:
        raise Refusal(422, f"{name} must be a number in -{limit:g}..{limit:g}, found {text[:80]!r}")
    return value
