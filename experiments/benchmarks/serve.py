"""Images a second of `cnnlab serve` under load, beside `cnnlab predict` on a folder of the same images.

    pip install ".[app]" && python experiments/benchmarks/serve.py [--json] [--requests 2000] [--clients 32] [--record]

A run of LeNet5 is trained on the embedded digits first. The server runs in a process of its own on the loopback, and
so many clients send the images to it, each the next image as soon as it has the answer to the one before. Every
request must be answered, with the record that `predict` gives for the file.

`predict` is the same work without a network: reading the files of a folder, predicting them, and writing their records
as JSON, in a process that has compiled its programs. `ratio` is its time divided by the server's. The clients need
processor time too, which the server lacks. The row `command` compares with the whole command `cnnlab predict`, which
imports and compiles first.
"""

import asyncio
import contextlib
import dataclasses
import io
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from PIL import Image
from timing import OFF, Options, print_rows, process, row

import cnnlab
from cnnlab.files.photo import Photo
from cnnlab.predictions.predict import predict_files
from cnnlab.predictions.records import write_json

TOLERANCE = 1e-5  # of probabilities: batches of other sizes round otherwise


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    requests: int = 2000,
    clients: int = 32,
    passes: tuple[int, ...] = (0, 30),
    rounds: int = 3,
    alone: Path | None = None,
    recording: Options = OFF,
) -> dict:
    """Serves and predicts the same images in turns, and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        requests: number of images.
        clients: requests at a time.
        passes: numbers of MC-Dropout passes; 0 is one pass without dropout.
        rounds: turns of each.
        alone: predict the photos of this folder by its run, with as many passes as each line of standard input says,
            and print the time.
        recording: whether the results are stored.
    """
    if alone is not None:
        return _predict_alone(alone)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cnnlab.train(_experiment(), folder / "run", quiet=True)
        _write_photos(folder / "photos", requests)
        contents = [file.read_bytes() for file in sorted((folder / "photos").iterdir())]
        with (
            _server(folder / "run", passes) as port,
            process(__file__, "--alone", name, name="predict") as predict,
        ):
            for number in passes:
                table = _turns(folder, port, predict, contents, clients, number, rounds)
                times = {way: statistics.median(values) for way, values in table.items()}
                for peer in ("predict", "command"):
                    label = f"{requests:,} images, {clients} at a time, {number} passes, {peer}"
                    own = {"cnnlab": times["serve"], peer: times[peer]}
                    rows.append(row(label, own, images=requests))
    return print_rows(rows, as_json=json_only, title="serve", recording=recording)


def _turns(
    folder: Path,
    port: int,
    predict: Callable[[int], Mapping[str, Any]],
    contents: Sequence[bytes],
    clients: int,
    passes: int,
    rounds: int,
) -> dict[str, list[float]]:
    """Returns the milliseconds of the server, of warm prediction and of the command, in turns."""
    table: dict[str, list[float]] = {"serve": [], "predict": [], "command": []}
    asyncio.run(_load(port, contents, clients, passes))
    predict(passes)
    for _ in range(rounds):
        started = time.perf_counter()
        answers = asyncio.run(_load(port, contents, clients, passes))
        table["serve"].append(1000 * (time.perf_counter() - started))
        table["predict"].append(predict(passes)["ms"])
        started = time.perf_counter()
        _predict_by_command(folder, passes)
        table["command"].append(1000 * (time.perf_counter() - started))
    expected = json.loads((folder / "out" / "predictions.json").read_text())["predictions"]
    _check(answers, expected, passes)
    return table


def _experiment() -> cnnlab.Experiment:
    experiment = cnnlab.presets.get("digits-lenet5")
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, epochs=2))


def _write_photos(folder: Path, number: int) -> None:
    """Writes digits with noise, so that no two photos are alike."""
    folder.mkdir()
    digits, rng = cnnlab.data.digits()["train"].column("image"), np.random.default_rng(0)
    for i in range(number):
        pixels = digits[i % len(digits)][..., 0].astype(int) + rng.integers(-20, 21, digits.shape[1:3])
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05}.png")


def _predict_alone(folder: Path) -> dict:
    """Predicts the photos of a folder once for each line of standard input, and prints the time."""
    trained, measurement = cnnlab.load(folder / "run"), {}
    for line in sys.stdin:
        started, records = time.perf_counter(), []
        files = sorted((folder / "photos").iterdir())
        for path, prediction in predict_files(trained, files, mc_samples=int(line) or None):
            records += trained.task.record(prediction, trained.spec, Photo(path))
        write_json(records, io.StringIO(), trained.task)
        measurement = {"ms": 1000 * (time.perf_counter() - started)}
        print(json.dumps(measurement), flush=True)
    return measurement


def _predict_by_command(folder: Path, passes: int) -> None:
    options = ["--mc", str(passes)] if passes else []
    command = ["predict", folder / "run", folder / "photos", "--output", folder / "out", *options]
    subprocess.run([sys.executable, "-m", "cnnlab", *map(str, command)], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _server(run: Path, passes: Sequence[int]) -> Iterator[int]:
    """Starts `cnnlab serve` and yields its port once it answers."""
    options = ["--port", "0", "--mc", *map(str, passes)]
    command = [sys.executable, "-m", "cnnlab", "serve", str(run), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            for line in child.stderr:
                if address := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    yield int(address[1])
                    return
            raise RuntimeError("the server ended before it answered")
        finally:
            child.terminate()


async def _load(port: int, contents: Sequence[bytes], clients: int, passes: int) -> list[dict]:
    """Sends every content as a request, so many at a time, and returns the answers in the same order."""
    answers: list[dict] = [{}] * len(contents)
    numbers = iter(range(len(contents)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in numbers:
            length = len(contents[i])
            head = f"POST /predict?mc={passes} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\n\r\n"
            writer.write(head.encode() + contents[i])
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"request {i} failed: {answer[:200]!r}")
            body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))
            answers[i] = json.loads(body)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def _check(answers: Sequence[dict], expected: Sequence[dict], passes: int) -> None:
    """Raises `ValueError` unless every answer is the record of its file; dropout's masks differ, so its numbers do."""
    for number, (answer, record) in enumerate(zip(answers, expected, strict=True)):
        (own,) = answer["predictions"]
        gap = max(abs(own["probs"][name] - record["probs"][name]) for name in record["probs"])
        if own.keys() != record.keys() or (gap > TOLERANCE and not passes):
            raise ValueError(f"the answer {number} is {own}, predict gives {record}")


if __name__ == "__main__":
    tyro.cli(main)
