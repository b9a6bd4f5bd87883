"""`cnnlab predict --engine ray` with two workers: the file of one process, also if a worker or the call is killed."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnlab.cli import main
from cnnlab.predictions.cluster import connected, number_of_workers, run_parts
from cnnlab.predictions.parts import Part

pytest.importorskip("ray")
FILES, PARTS, MANY = 40, 6, 2000


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, for all tests; `predict` uses it instead of starting its own."""
    with connected(2) as ray:
        yield ray


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(FILES):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(f"photos/{i:02}.png")


def same(one, other):
    return Path(one, "predictions.json").read_bytes() == Path(other, "predictions.json").read_bytes()


def test_two_workers_write_the_file_of_one_process(cluster, photos, run, capsys):
    options = ["predict", str(run), "photos", "--mc", "2"]
    assert main([*options, "--output", "one"]) == 0
    assert main([*options, "--output", "out", "--part", "2/6"]) == 0  # the others join it
    assert main([*options, "--output", "out", "--engine", "ray", "--workers", "2"]) == 0
    assert same("one", "out")
    assert len(list(Path("out/parts").glob("*.jsonl"))) == 6
    assert "part 2 of 6 is finished" in capsys.readouterr().err


def test_an_error_in_a_worker_is_that_of_one_process(cluster, photos, run, capsys):
    Path("photos/05.png").write_bytes(b"no image")
    assert main(["predict", str(run), "photos", "--output", "out", "--engine", "ray"]) == 1
    assert "photos/05.png" in (told := capsys.readouterr().err)
    assert "--skip-unreadable" in told


def test_a_part_whose_worker_was_killed_is_given_to_another(cluster, tmp_path):
    def predict(part):
        path = tmp_path / f"{part.number}"
        with open(path, "a") as file:
            file.write("begun\n")
        if part.number == 2 and path.read_text() == "begun\n":
            os.kill(os.getpid(), signal.SIGKILL)
        with open(path, "a") as file:
            file.write("done\n")

    told, parts = [], [Part(number, PARTS) for number in range(1, PARTS + 1)]
    run_parts(lambda: predict, parts, workers=2, tell=told.append)
    texts = {int(path.name): path.read_text() for path in tmp_path.iterdir()}
    assert texts == dict.fromkeys(range(1, PARTS + 1), "begun\ndone\n") | {2: "begun\nbegun\ndone\n"}
    assert "a worker died at part 2 of 6" in "".join(told)


@pytest.fixture
def many(tmp_path, monkeypatch):
    """2,000 photos, and the options that predict them slowly enough to be interrupted."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (MANY, 8, 8), np.uint8)
    for i in range(MANY):
        Image.fromarray(pixels[i]).save(f"photos/{i:04}.png", compress_level=1)
    return ["photos", "--mc", "20"]


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def worker_within_a_part(call, seconds=60):
    """Waits until a worker of a call, whose Ray is a child of the call, has answered some files of a part."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        journals = Path.cwd().glob("out/parts/*.begun/answers.jsonl")
        begun = [str(path) for path in journals if path.read_bytes().count(b"\n") > 1]
        for link in Path("/proc").glob("[0-9]*/fd/*") if begun else ():
            with contextlib.suppress(OSError):
                if os.readlink(link) in begun and parent(parent(worker := int(link.parts[2]))) == call:
                    return worker
        time.sleep(0.01)
    raise AssertionError("no part was begun")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_call_and_a_killed_worker_lose_and_repeat_nothing(cluster, many, run, capsys):
    engine = ["predict", str(run), *many, "--output", "out", "--engine", "ray", "--workers", "2"]
    with open("told", "w") as told:
        call = subprocess.Popen([sys.executable, "-m", "cnnlab", *engine], stdout=told, stderr=told)
        worker_within_a_part(call.pid)
        call.kill()
    assert call.wait() == -signal.SIGKILL
    finished = {path: path.read_bytes() for path in Path("out/parts").glob("*.jsonl")}
    assert len(finished) < 8
    killer = threading.Thread(target=lambda: os.kill(worker_within_a_part(os.getpid()), signal.SIGKILL))
    killer.start()
    assert main(engine) == 0
    killer.join()
    assert "a worker died at part" in capsys.readouterr().err
    assert main(["predict", str(run), *many, "--output", "one"]) == 0
    assert same("one", "out")
    lines = [path.read_text().splitlines()[1:-1] for path in sorted(Path("out/parts").iterdir())]
    assert [json.loads(line)[0] for line in itertools.chain(*lines)] == list(range(MANY))
    assert all(path.read_bytes() == before for path, before in finished.items())


class Cluster:
    """Stands for Ray with four GPUs."""

    def cluster_resources(self):
        return {"CPU": 16.0, "GPU": 4.0}


def test_there_is_one_worker_for_each_gpu():
    assert number_of_workers(Cluster(), None) == 4
    assert number_of_workers(Cluster(), 3) == 3
    with pytest.raises(ValueError, match="--workers 5 is more than the 4 GPUs"):
        number_of_workers(Cluster(), 5)
