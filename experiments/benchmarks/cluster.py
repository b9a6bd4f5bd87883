"""What `cnnlab predict --engine ray` costs beside the prediction itself: photos that take 20 ms each, by sleeping.

    pip install ".[ray]" && python experiments/benchmarks/cluster.py [--json] [--photos 2000 10000] [--record]

Workers take the parts of a prediction as in the command, and write the same files, but the network is a pause. `pauses`
is the time of the pauses alone. The overhead is the time above it in percent, twice: from the first photo to the last
file, and for the whole call, which also starts Ray and its workers. The peer is a pool of as many processes of Python's
own, already started, which take the same parts; both run in turns.
"""

import contextlib
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import tyro
from timing import OFF, OWN, Options, print_rows, row

from cnnlab.predictions.cluster import connected, number_of_parts, run_parts
from cnnlab.predictions.merging import merged_records, read_parts
from cnnlab.predictions.parts import Answer, Header, Part, journal, remove_journal, write_part
from cnnlab.predictions.predict import BATCH
from cnnlab.tasks import Classification


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    photos: tuple[int, ...] = (2_000, 10_000),
    pause: float = 0.02,
    workers: int = 2,
    rounds: int = 3,
    recording: Options = OFF,
) -> dict:
    """Predicts photos of a fixed duration by the engine and by a pool in turns, and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        photos: numbers of photos, each a row.
        pause: seconds that a photo takes.
        workers: number of workers.
        rounds: turns of each.
        recording: whether the results are stored.
    """
    rows = [_row(number, pause, workers, rounds) for number in photos]
    report = print_rows(rows, as_json=json_only, title="cluster", recording=recording)
    for fields in () if json_only else rows:
        without, whole = fields["overhead (%)"], fields["overhead of the whole call (%)"]
        print(f"{fields['images']:,} photos: overhead {without:.1f} %, with the start of Ray {whole:.1f} %")
    return report


def _row(photos: int, pause: float, workers: int, rounds: int) -> dict:
    """Measures the engine and the pool for so many photos."""
    count = number_of_parts(photos, 0, workers)
    parts, times = [Part(number, count) for number in range(1, count + 1)], {"cnnlab": [], "pool": [], "whole call": []}
    for _ in range(rounds):
        told: list[str] = []
        begun = time.time()
        with _folder(photos) as folder, connected(workers):
            predict = functools.partial(_predict, folder, photos, pause)

            def tell_start(part: Part, predict=predict) -> None:
                print(time.time(), file=sys.stderr)
                predict(part)

            run_parts(lambda tell_start=tell_start: tell_start, parts, workers=workers, tell=told.append)
            ended = time.time()
        times["cnnlab"].append(ended - min(map(float, told)))
        times["whole call"].append(ended - begun)
        with _folder(photos) as folder, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(time.sleep, [1.0] * workers))  # starts all processes
            begun = time.time()
            list(pool.map(functools.partial(_predict, folder, photos, pause), parts))
            times["pool"].append(time.time() - begun)
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    pauses = 1000 * photos * pause / workers
    title = f"{photos:,} photos of {1000 * pause:g} ms, {workers} workers, {count} parts"
    own = (*OWN, "pauses", "whole call")
    return row(title, medians | {"pauses": pauses}, images=photos, own=own) | {
        "overhead (%)": round(100 * (medians["cnnlab"] / pauses - 1), 1),
        "overhead of the whole call (%)": round(100 * (medians["whole call"] / pauses - 1), 1),
    }


@contextlib.contextmanager
def _folder(photos: int) -> Iterator[Path]:
    """Yields a folder for the parts; raises `ValueError` unless each photo then has one answer, in order."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        records = merged_records(read_parts(Path(name)), renumber=False)
        if [record["file"] for record in records] != [f"{place}.png" for place in range(photos)]:
            raise ValueError(f"the records are not one a photo: {json.dumps(records[:10])} ...")


def _predict(folder: Path, photos: int, pause: float, part: Part) -> None:
    """Answers each photo of a part after a pause."""
    header = Header(part, {"format": "json", "files": photos}, list(part.share(photos, BATCH)), [])
    with journal(folder, header) as (answers, add):
        for place in header.places:
            time.sleep(pause)
            answers.append(Answer(place, [{"file": f"{place}.png", "label": "a", "probs": {"a": 1.0}}]))
            add(answers[-1])
        write_part(folder, header, answers, Classification())
        remove_journal(folder, part)


if __name__ == "__main__":
    tyro.cli(main)
