"""The output of `cnnlab predict`: records and drawings of photos, maps of sheets, and videos with boxes."""

import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnlab.commands.predict_answers import Beside, Job, answers, prepare
from cnnlab.commands.predict_inputs import Request
from cnnlab.data.appearance import far_outside
from cnnlab.files.atomic import write_text
from cnnlab.files.tables import write_table
from cnnlab.predictions.exchange import EXCHANGES, kind_of, write_annotations
from cnnlab.predictions.merging import records_of
from cnnlab.predictions.records import WRITERS, columns_of, naming
from cnnlab.predictions.videos import predict_video
from cnnlab.quoting import for_terminal
from cnnlab.sheets.products import small_shapes
from cnnlab.tasks import Task
from cnnlab.tasks.task import Record
from cnnlab.trained import Trained
from cnnlab.training.restore import load_appearance

_NAMED = 10  # drawings whose paths are printed one by one


def show_videos(trained: Trained, videos: Sequence[Path], request: Request) -> None:
    """Draws the boxes on each video, and prints the names of its files and the speed."""
    options = {"mc_samples": request.mc, "seed": request.seed, "rate": request.videos.rate, "quiet": False}
    name = naming()
    for path in videos:
        result = predict_video(trained, path, request.output, name=name(path), **options)
        print(f"{for_terminal(path)}: {result.frames:,} frames, {result.rate:.1f} frames/s", file=sys.stderr)
        print(*map(for_terminal, (result.video, result.results)), sep="\n")


def show_files(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Prints or writes the records of photos and sheets, in the order of their paths."""
    job, beside = prepare(members, runs, paths, request), Beside({}, [], [], [], [])
    found = list(answers(job, beside))
    records = records_of(found, renumber=job.ids is None)
    if beside.broken and not records:
        raise beside.broken[0]
    if all(answer.left_out is not None for answer in found):
        raise ValueError("none of the files can be read; see above")
    tell_beside(job, beside)
    trained = job.members[0]
    if request.format in EXCHANGES:
        kind, target = kind_of(trained.task), Path(request.output)
        written = write_annotations(request.format, beside.predicted, trained.spec.classes, target, kind=kind)
        print(for_terminal(written))
    else:
        print_or_write(records, trained.task, request)
    drawn = beside.drawn
    for file in drawn if len(drawn) <= _NAMED else [f"{drawn[0]} ... {drawn[-1]} ({len(drawn):,} drawings)"]:
        print(f"drawn  {for_terminal(file)}", file=sys.stderr)
    raise_broken(beside)


def tell_beside(job: Job, beside: Beside) -> None:
    """Prints whether the photos look different from the training images, and how many shapes have no polygon."""
    warn_if_different(job.runs[0], beside.looks, job.request.photos.invert)
    if sum(beside.small):
        print(small_shapes(sum(beside.small), job.request.sheets.smallest), file=sys.stderr)


def raise_broken(beside: Beside) -> None:
    """Raises `ValueError` if a sheet could not be read; all other files have their answers."""
    if beside.broken:
        errors = "; ".join(map(str, beside.broken))
        raise ValueError(f"{errors}; all other files are predicted (--skip-unreadable leaves out what cannot be read)")


def warn_if_different(run: str, looks: Mapping[Path, Mapping[str, float]], inverted: bool) -> None:
    """Prints one line if the photos look very different from the training images of a run."""
    usual = load_appearance(run) if looks else None
    sentence = None if usual is None else far_outside(usual, list(looks.values()), list(map(str, looks)))
    if sentence is not None:
        cure = "leave out --invert" if inverted else "add --invert"
        warnings.warn(sentence + (f" {cure}" if sentence.endswith("?") else ""), stacklevel=2)


def print_or_write(records: Sequence[Record], task: Task, request: Request) -> None:
    """Prints all records, or writes them to a file and prints its name."""
    if not request.output:
        WRITERS[request.format](records, sys.stdout, task)
        return
    target = Path(request.output) / f"predictions.{request.format}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_records(target, records, task)
    print(for_terminal(target))


def write_records(path: Path, records: Sequence[Record], task: Task) -> None:
    """Writes records in the format of the file's suffix."""
    if path.suffix == ".parquet":
        write_table(path, columns_of(records, task))
        return
    text = io.StringIO()
    WRITERS[path.suffix[1:]](records, text, task)
    write_text(path, text.getvalue())
