"""Answer images over HTTP, on this machine alone: cnnlab serve RUN [--port 8000] [--mc 30] [--calibrated]."""

from collections.abc import Sequence
from typing import NamedTuple

from cnnlab.commands.common import Misuse, Run, parse


class Request(NamedTuple):
    """The arguments of `cnnlab serve`."""

    run: str
    port: int
    host: str
    hosts: tuple[str, ...]
    mc: tuple[int, ...]
    calibrated: bool
    seed: int
    max_bytes: int
    max_pixels: int
    seconds: float


def run(arguments: Sequence[str]) -> None:
    """Serves a trained network until Ctrl-C: POST an image to /predict, get the JSON that cnnlab predict prints."""

    def command(
        run: Run,
        /,
        port: int = 8000,
        host: str = "127.0.0.1",
        hosts: tuple[str, ...] = (),
        mc: tuple[int, ...] = (0,),
        calibrated: bool = False,
        seed: int = 0,
        max_bytes: int = 16 << 20,
        max_pixels: int = 32_000_000,
        seconds: float = 10.0,
    ) -> Request:
        """Serve a trained network over HTTP. The page / describes what it answers. It needs the extra app.

        Args:
            run: run directory.
            port: port, from 1024, or 0 for any free one; if it is taken, the next free one is used.
            host: address of this machine; only 127.0.0.1 and ::1 keep other machines out.
            hosts: other names by which clients may address the server, such as lab.example.org or localhost:9000.
            mc: numbers of MC-Dropout passes that clients may ask for by ?mc=N, the default first; 0 is one pass without
                dropout.
            calibrated: apply the calibration and the conformal sets that evaluate stored in the run.
            seed: seed of the dropout masks.
            max_bytes: most bytes of a request.
            max_pixels: most pixels of an image.
            seconds: time in which a client must send its request and read the answer.
        """
        return Request(run, port, host, hosts, mc, calibrated, seed, max_bytes, max_pixels, seconds)

    request = parse(command, arguments, "serve")
    require_extra()
    import cnnlab
    from cnnlab.app import server
    from cnnlab.app.limits import Limits
    from cnnlab.app.serve import application
    from cnnlab.calibration.store import load_post_hoc
    from cnnlab.predictions.options import require_option
    from cnnlab.training.restore import load_appearance

    try:
        limits = Limits(request.max_bytes, request.seconds, request.hosts)
        listener = server.bind(request.host, request.port)
    except ValueError as error:
        raise Misuse(error) from error
    with listener:
        trained = cnnlab.load(request.run)
        if request.calibrated:
            require_option(trained.task, "calibrated", "--calibrated", run=request.run)
        passes = request.mc if request.calibrated else ()
        app = application(
            trained,
            name=request.run,
            passes=request.mc,
            fits={number: load_post_hoc(request.run, trained, passes=number or None) for number in passes},
            seed=request.seed,
            max_pixels=request.max_pixels,
            usual=load_appearance(request.run),
        )
        server.run(app, listener, limits=limits, title=f"{request.run} answers")


def require_extra() -> None:
    """Raises `ValueError` if the extra `app` is missing."""
    from importlib.util import find_spec

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} are missing; install them with pip install 'cnnlab[app]'")
