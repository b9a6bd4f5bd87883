"""The application of `cnnlab serve`: answers images over HTTP as `cnnlab predict` answers files."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cnnlab.app.answers import Kind, answers, check_passes
from cnnlab.app.batching import Times, batching
from cnnlab.app.images import MAX_PIXELS, read_upload
from cnnlab.app.openapi import Offer, describe, page
from cnnlab.app.refusals import Refusal, json_errors
from cnnlab.calibration.store import PostHoc
from cnnlab.data.appearance import Appearance
from cnnlab.errors import unknown
from cnnlab.files import opening
from cnnlab.tasks.task import task_name
from cnnlab.trained import Trained

if TYPE_CHECKING:
    from starlette.applications import Starlette

_DECODERS = 2  # threads, so that few large images are decoded at once


def application(
    trained: Trained,
    *,
    name: str = "a network",
    passes: Sequence[int] = (0,),
    fits: Mapping[int, PostHoc] | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    usual: Appearance | None = None,
) -> "Starlette":
    """Compiles the programs of a network, and returns the ASGI application that is ready to answer.

    Its pages are `POST /predict`, `/health`, `/metrics`, `/openapi.json` and, for people, `/`.

    Args:
      trained: the network.
      name: name of the run on the pages.
      passes: numbers of MC-Dropout passes that clients may ask for by `?mc=N`; 0 stands for one pass without dropout,
        and the first number is the default.
      fits: calibration of the probabilities, by the number of passes.
      seed: seed of the dropout masks.
      max_pixels: most pixels of an image.
      usual: appearance of the training images; the answer to an image that differs has the header `Remark`.

    Raises:
      ValueError: the network takes images that no file holds, a number is out of range, or the network has no dropout
        and passes are asked for.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    spec, passes = trained.spec, check_passes(passes)
    if spec.channels not in (1, 3):
        raise ValueError(f"image files have 1 or 3 channels, the network takes {spec.channels}; use cnnlab.predict")
    if not 1 <= max_pixels <= opening.MAX_PIXELS:
        raise ValueError(f"max_pixels must lie in 1..{opening.MAX_PIXELS:,}, found {max_pixels}")
    own = answers(trained, passes=passes, fits=fits, seed=seed, max_pixels=max_pixels, usual=usual)
    offer = Offer(name, task_name(trained.task), spec.shape, spec.classes, passes, max_pixels)
    description, times, statuses = describe(offer), Times(), Counter()
    own.warm()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        threads = ThreadPoolExecutor(_DECODERS, "decode")
        try:
            async with batching(own.compute, times=times) as submit:
                app.state.submit, app.state.threads = submit, threads
                yield
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def predict(request: Request) -> Response:
        try:
            number = _passes(request.query_params, passes)
            upload = read_upload(request.headers.get("content-type", ""), await request.body())
            state, loop = request.app.state, asyncio.get_running_loop()
            question = await loop.run_in_executor(state.threads, own.read, upload)
            text = await state.submit(Kind(question.pixels.shape, number), question)
        except Refusal as refusal:
            statuses[refusal.status] += 1
            raise
        statuses[200] += 1
        remark = {"remark": question.remark} if question.remark else {}
        return Response(text, media_type="application/json", headers=remark)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "run": name, "task": offer.task, "mc": list(passes)})

    async def metrics(_: Request) -> Response:
        return JSONResponse({"answers": {str(status): n for status, n in sorted(statuses.items())}} | times.report())

    async def openapi(_: Request) -> Response:
        return JSONResponse(description)

    async def docs(_: Request) -> Response:
        text, policy = page(description)
        return HTMLResponse(text, headers={"content-security-policy": policy})

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/", docs),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=json_errors())


def _passes(parameters: Mapping[str, str], offered: Sequence[int]) -> int:
    """Returns the number of passes that a query asks for: `?mc=30`."""
    for parameter in parameters:
        if parameter != "mc":
            raise Refusal(422, str(unknown("parameter", parameter[:80], ["mc"])))
    text = parameters.get("mc", str(offered[0]))
    if text not in map(str, offered):
        several = " or ".join(map(str, offered))
        raise Refusal(422, f"mc must be {several}, found {text[:80]!r}; cnnlab serve RUN --mc N offers other numbers")
    return int(text)
