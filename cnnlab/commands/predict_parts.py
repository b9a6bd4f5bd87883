"""The output of `cnnlab predict --part` and `--merge`: a part of the answers, and the files of all parts together."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnlab.commands.predict_answers import Beside, Job, answers, prepare
from cnnlab.commands.predict_inputs import Request
from cnnlab.commands.predict_outputs import raise_broken, tell_beside, write_records
from cnnlab.files.cache import address
from cnnlab.files.strict_json import encode
from cnnlab.files.tables import write_parquet
from cnnlab.predictions.merging import merged_records, merged_table, read_parts
from cnnlab.predictions.parts import (
    FOLDER,
    Header,
    Part,
    check_alike,
    check_neighbours,
    digest_of,
    journal,
    parse_part,
    part_file,
    read_part,
    remove_journal,
    write_part,
)
from cnnlab.predictions.predict import BATCH
from cnnlab.quoting import counted, for_terminal
from cnnlab.trained import Trained, digest_of_network
from cnnlab.training.restore import load_task
from cnnlab.version import VERSION


def show_part(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Predicts a part of the photos and sheets, and prints the file of its answers."""
    print(for_terminal(predict_part(prepare(members, runs, paths, request), parse_part(request.parts.part))))


def predict_part(job: Job, part: Part) -> Path:
    """Predicts a part, unless its file exists, and returns this file; an unfinished part continues.

    Raises:
      ValueError: the directory holds parts of another prediction, or another process predicts the part.
    """
    folder = Path(job.request.output) / FOLDER
    header = Header(part, work_of(job), places_of(job, part), [address(Path(run).absolute()) for run in job.runs])
    folder.mkdir(parents=True, exist_ok=True)
    check_neighbours(folder, header)
    path = part_file(folder, part, job.request.format)
    if is_finished(path, header):
        remove_journal(folder, part)  # of a process that was killed at its last step
        print(f"{part} is finished: {for_terminal(path)}", file=sys.stderr)
        return path
    beside = Beside({}, [], [], [], [])
    with journal(folder, header) as (earlier, add):
        if is_finished(path, header):  # by the process that held the journal
            return path
        done = {answer.place for answer in earlier}
        for answer in answers(job, beside, [place for place in header.places if place not in done]):
            add(answer)
            earlier.append(answer)
        tell_beside(job, beside)
        raise_broken(beside)
        write_part(folder, header, earlier, job.members[0].task)
        remove_journal(folder, part)
    print(f"{part}: {counted(len(header.places), 'file')}", file=sys.stderr)
    return path


def is_finished(path: Path, header: Header) -> bool:
    """Returns whether a part's file exists and is whole; says so if it is not.

    Raises:
      ValueError: it belongs to another prediction.
    """
    if not path.exists():
        return False
    try:
        found = read_part(path)
    except ValueError as error:
        print(f"predicted again: {for_terminal(error)}", file=sys.stderr)
        return False
    check_alike(found.header, header, path)
    return True


def places_of(job: Job, part: Part) -> list[int]:
    """Returns the places of a part's files: its share of the photos, and its share of the sheets."""
    names, photos, sheets = set(job.sheets), [], []
    for place, path in enumerate(job.files):
        (sheets if path in names else photos).append(place)
    return sorted([photos[i] for i in part.share(len(photos), BATCH)] + [sheets[i] for i in part.share(len(sheets))])


def work_of(job: Job) -> dict[str, Any]:
    """Returns what is predicted, as JSON types by the names of messages; parts of one prediction have equal ones."""
    request = job.request
    options = {name: getattr(request, name) for name in ("format", "mc", "seed", "tile")}
    options |= dataclasses.asdict(request.photos) | dataclasses.asdict(request.sheets)
    work = {"cnnlab": VERSION, "network": digest_of(map(digest_of_network, job.members)), "files": len(job.files)}
    work |= {"manifest": digest_of(map(address, job.files)), "calibration": digest_of([json.dumps(encode(job.fitted))])}
    # The content counts, as each machine may have its own copy.
    options |= {name: digest_of([Path(options[name]).read_text()]) for name in ("ids", "lexicon") if options[name]}
    return json.loads(json.dumps(work | options))


def merge(output: Path) -> None:
    """Writes the files that one process would have written, and prints the name of that of the records.

    Raises:
      ValueError: a part is missing, unfinished, cut short, overlaps with another or belongs to another prediction.
    """
    parts = read_parts(output / FOLDER)
    first = parts[0].header
    renumber, target = first.work["ids"] is None, output / f"predictions.{first.work['format']}"
    if first.work["format"] == "parquet":
        write_parquet(target, merged_table(parts, renumber=renumber))
    else:
        write_records(target, merged_records(parts, renumber=renumber), load_task(first.runs[0]))
    print(for_terminal(target))
