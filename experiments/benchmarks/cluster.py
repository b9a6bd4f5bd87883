"""What `cnnlab predict --engine ray` costs beside the prediction itself: photos that take 20 ms each, by sleeping.

    pip install ".[ray]" && python experiments/benchmarks/cluster.py [--json] [--photos 2000] [--workers 2] [--record]

Workers take the parts of a prediction as in the command, and write and merge its files, but the network is a pause.
The time beyond photos x pause / workers is that of the engine. `ratio` is the time of the pauses alone, divided by the
engine's: from the first photo of the first worker to the merged records (`engine`), and with the start of Ray and of
its workers (`whole call`).
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import tyro
from timing import OFF, Options, print_rows, row

from cnnlab.predictions.cluster import number_of_parts, run_parts
from cnnlab.predictions.parts import (
    Answer,
    Header,
    Part,
    journal,
    merged_records,
    read_parts,
    remove_journal,
    write_part,
)
from cnnlab.predictions.predict import BATCH
from cnnlab.predictions.records import write_json
from cnnlab.tasks import Classification


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    photos: int = 2000,
    pause: float = 0.02,
    workers: int = 2,
    recording: Options = OFF,
) -> dict:
    """Predicts photos of a fixed duration with the engine, and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        photos: number of photos.
        pause: seconds that a photo takes.
        workers: number of workers.
        recording: whether the results are stored.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), number_of_parts(photos, 0, workers)
        parts, told = [Part(number, count) for number in range(1, count + 1)], []

        def predict(part: Part) -> None:
            print(time.time(), file=sys.stderr)
            header = Header(part, {"format": "json", "files": photos}, list(part.share(photos, BATCH)), [])
            with journal(folder, header) as (answers, add):
                for place in header.places:
                    time.sleep(pause)
                    answers.append(Answer(place, [{"file": f"{place}.png", "label": "a", "probs": {"a": 1.0}}]))
                    add(answers[-1])
                write_part(folder, header, answers, Classification())
                remove_journal(folder, part)

        begun = time.time()
        run_parts(lambda: predict, parts, workers=workers, tell=told.append)
        records = merged_records(read_parts(folder), renumber=False)
        with open(folder / "predictions.json", "w", encoding="utf-8") as file:
            write_json(records, file, Classification())
        ended = time.time()
    if [record["file"] for record in records] != [f"{place}.png" for place in range(photos)]:
        raise ValueError("the records are not one a photo, in order")
    alone, first = 1000 * photos * pause / workers, min(map(float, told))
    times = {"engine": 1000 * (ended - first), "whole call": 1000 * (ended - begun)}
    title = f"{photos:,} photos of {1000 * pause:g} ms, {workers} workers, {count} parts"
    rows = [row(f"{title}, {name}", {"cnnlab": ms, "pauses": alone}, images=photos) for name, ms in times.items()]
    return print_rows(rows, as_json=json_only, title="cluster", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
