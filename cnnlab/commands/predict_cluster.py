"""The output of `cnnlab predict --engine ray`: the files of one process, predicted in parts by several workers."""

import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from cnnlab.commands.predict_answers import prepare
from cnnlab.commands.predict_inputs import Request
from cnnlab.commands.predict_parts import merge, predict_part
from cnnlab.predictions.cluster import number_of_parts, run_parts
from cnnlab.predictions.parts import FOLDER, Part, count_in
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained


def show_cluster(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Predicts all parts by the workers of a cluster, merges them, and prints the file of the records."""
    job, output, workers = prepare(members, runs, paths, request), Path(request.output), request.parts.workers
    photos = len(job.files) - len(job.sheets)
    count = count_in(output / FOLDER) or number_of_parts(photos, len(job.sheets), workers or 1)
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
) -> Callable[[Part], Path]:
    """Loads the networks in a worker, and returns the function that predicts a part."""
    import cnnlab

    os.chdir(folder)  # from which relative paths count
    warnings.showwarning = lambda message, *_: print(f"cnnlab: {for_terminal(message, lines=True)}", file=sys.stderr)
    members = [cnnlab.load(run) for run in runs]
    return functools.partial(predict_part, prepare(members, runs, paths, request, listed=listed))
