"""`cnnlab predict --engine ray` with two workers: the file of one process, also if a worker or the call is killed."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnlab.cli import main
from cnnlab.predictions.cluster import connected, number_of_workers, run_parts
from cnnlab.predictions.parts import Part

pytest.importorskip("ray")
FILES, PARTS = 40, 6


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


class Cluster:
    """Stands for Ray with four GPUs."""

    def cluster_resources(self):
        return {"CPU": 16.0, "GPU": 4.0}


def test_there_is_one_worker_for_each_gpu():
    assert number_of_workers(Cluster(), None) == 4
    assert number_of_workers(Cluster(), 3) == 3
    with pytest.raises(ValueError, match="--workers 5 is more than the 4 GPUs"):
        number_of_workers(Cluster(), 5)
