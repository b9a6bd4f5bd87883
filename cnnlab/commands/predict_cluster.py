"""The output of `cnnlab predict --engine ray`: the files of one process, predicted in parts by several workers."""

import functools
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from cnnlab.commands.predict_answers import Job, prepare
from cnnlab.commands.predict_inputs import Request
from cnnlab.commands.predict_parts import merge, predict_part
from cnnlab.files.atomic import is_held
from cnnlab.files.awaited import arrive
from cnnlab.predictions.cluster import connected, number_of_parts, number_of_workers, require_ray, run_parts
from cnnlab.predictions.parts import FOLDER, Part, count_in, journal_folder
from cnnlab.quoting import for_terminal

PATIENCE = 60.0
"""Seconds for which a worker waits for a part that another process holds; Ray ends lost workers sooner."""


def show_cluster(runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Predicts all parts by the workers of a cluster, merges them, and prints the file of the records."""
    import jax

    import cnnlab

    require_ray()
    jax.config.update("jax_platforms", "cpu")  # of this process, which only lists the files; the GPUs are the workers'
    job, output = prepare([cnnlab.load(run) for run in runs], runs, paths, request), Path(request.output)
    arrive(job.files, job.awaited)  # the workers read the copies of this process
    photos = len(job.files) - len(job.sheets)
    with connected(request.parts.workers) as ray:
        workers = number_of_workers(ray, request.parts.workers)
        count = count_in(output / FOLDER) or number_of_parts(photos, len(job.sheets), workers)
        start = functools.partial(_start, os.getcwd(), list(runs), list(paths), request, (job.files, job.sheets))
        parts = [Part(number, count) for number in range(1, count + 1)]
        run_parts(start, parts, workers=workers, tell=lambda text: print(text, end="", file=sys.stderr))
    merge(output)


def _start(
    folder: str,
    runs: Sequence[str],
    paths: Sequence[str],
    request: Request,
    listed: tuple[Sequence[Path], Sequence[Path]],
) -> Callable[[Part], None]:
    """Loads the networks in a worker, and returns the function that predicts a part."""
    import cnnlab

    os.chdir(folder)  # from which relative paths count
    warnings.showwarning = lambda message, *_: print(f"cnnlab: {for_terminal(message, lines=True)}", file=sys.stderr)
    members = [cnnlab.load(run) for run in runs]
    return functools.partial(_predict, prepare(members, runs, paths, request, listed=listed))


def _predict(job: Job, part: Part) -> None:
    """Predicts a part, after the worker of a call that was killed has let it go."""
    end = time.monotonic() + PATIENCE
    while is_held(journal_folder(Path(job.request.output) / FOLDER, part)) and time.monotonic() < end:
        time.sleep(1)
    predict_part(job, part)
