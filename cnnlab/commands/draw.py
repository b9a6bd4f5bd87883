"""Draw a number and see the network think, in the browser: cnnlab draw [RUN] [--port 8000] [--no-browser]."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from cnnlab.commands.common import Misuse, parse

DEFAULT = "strokes-lenet5"  # preset that is trained where there is no run
RUNS = Path("runs")
MAX_BYTES = 16 << 20

_NO_DATA = (
    "The training data are not at hand ({}), so the page cannot tell what it has never seen, and shows no training "
    "patches. cnnlab draw RUN --data-path names their new place."
)


class Request(NamedTuple):
    """The arguments of `cnnlab draw`."""

    run: str | None
    port: int
    browser: bool
    mc: int
    seed: int
    data_path: str | None


def run(arguments: Sequence[str]) -> None:
    """Opens a page to draw on, or to look at photos, beside what the network makes of them, until Ctrl-C."""

    def command(
        run: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[RUN]")] = None,
        /,
        port: int = 8000,
        browser: bool = True,
        mc: int = 30,
        seed: int = 0,
        data_path: str | None = None,
    ) -> Request:
        """Draw a number and see the network think. It needs the extra app.

        Args:
            run: run directory; by default the newest one under runs/, and without any a network that is trained first
                on drawn digits, in less than a minute.
            port: port of this machine, from 1024, or 0 for any free one; if it is taken, the next free one is used.
            browser: whether to open the page in the browser.
            mc: number of MC-Dropout passes for the error bars.
            seed: seed of the dropout masks.
            data_path: new path of the run's data, if it has moved.
        """
        return Request(run, port, browser, mc, seed, data_path)

    request = parse(command, arguments, "draw")
    if not 1 <= request.mc <= 1000:
        raise Misuse(f"--mc must lie in 1..1000, found {request.mc}")
    from cnnlab.app import server
    from cnnlab.app.draw import application
    from cnnlab.app.limits import Limits
    from cnnlab.commands.serve import require_extra

    require_extra()
    try:
        listener = server.bind(port=request.port)
    except ValueError as error:
        raise Misuse(error) from error
    with listener:
        path = request.run or _newest(RUNS) or _train()
        own, remark = _own(path, request)
        own.warm()
        limits, title = Limits(MAX_BYTES), f"{path} draws"
        server.run(
            application(own, name=path, remark=remark),
            listener,
            limits=limits,
            title=title,
            ready=_open if request.browser else None,
        )


def _own(path: str, request: Request):
    """Returns the functions of a run for the page, and a sentence that the page shows."""
    import cnnlab
    from cnnlab.app.photos import viewer
    from cnnlab.app.reading import reader, reads_drawings
    from cnnlab.console import console
    from cnnlab.training.restore import load_data

    console().print(f"{path}: loading and compiling")
    trained = cnnlab.load(path)
    options = {"passes": request.mc, "seed": request.seed}
    if not reads_drawings(trained):
        return viewer(trained, **options), ""
    try:
        dataset, remark = load_data(path, request.data_path), ""
    except (ValueError, OSError) as error:
        dataset, remark = None, _NO_DATA.format(str(error).splitlines()[0])
    return reader(trained, dataset, **options), remark


def _newest(runs: Path) -> str | None:
    """Returns the run that was written last, or None if there is none, or if it is the default and was stopped."""
    found = [path.parent for path in runs.glob("*/experiment.json") if (path.parent / "checkpoints").is_dir()]
    if not found:
        return None
    newest = max(found, key=lambda path: (path / "checkpoints").stat().st_mtime)
    return None if newest.name == DEFAULT and _stopped(newest) else str(newest)


def _stopped(run: Path) -> bool:
    """Returns whether the training of a run was stopped before its last epoch."""
    from cnnlab.training.run import EXPERIMENT, read_experiment, read_history

    history = read_history(run)
    return not history or history[-1]["epoch"] < read_experiment(run / EXPERIMENT).training.epochs


def _train() -> str:
    """Trains the default network, or goes on with its training, and returns its run."""
    import cnnlab
    from cnnlab.console import console
    from cnnlab.training.run import EXPERIMENT, read_experiment

    path = RUNS / DEFAULT
    console().print(
        f"there is no finished run in {RUNS}/, so a network that reads drawn digits is trained first, in less "
        f"than a minute: {path}"
    )
    begun = path / EXPERIMENT
    cnnlab.train(read_experiment(begun) if begun.exists() else cnnlab.presets.get(DEFAULT), path)
    return str(path)


def _open(url: str) -> None:
    """Opens the page in the browser, in a thread, because a browser without a window blocks."""
    import threading
    import webbrowser

    def show() -> None:
        try:
            shown = webbrowser.open(url)
        except webbrowser.Error:
            shown = False
        if not shown:
            print(f"no browser was found; open {url}", file=sys.stderr)

    threading.Thread(target=show, daemon=True).start()
