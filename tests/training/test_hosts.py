"""Training in several processes: the same run as in one, one that dies, and processes that do not fit each other."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.data import Augmentation
from cnnlab.training.experiment import Training
from cnnlab.training.run import read_history

BOTH = """
import json, os, sys
from cnnlab.runtime import distributed
import cnnlab
from cnnlab.data.streaming import ImageFiles
from cnnlab.training import loop
read, decoded, compile_steps = ImageFiles._read, [], loop.compile_steps
ImageFiles._read = lambda files, name: decoded.append(name) or read(files, name)
loop.compile_steps = lambda *arguments: decoded.clear() or compile_steps(*arguments)
with distributed.together(distributed.announced(os.environ)):
    for settings, run in json.loads(sys.argv[1]):
        cnnlab.train(cnnlab.Experiment.from_json(settings), run)
print("\\n" + json.dumps(len(decoded)))
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(arguments, number, count, port, *, devices=2, **more):
    """Starts one of several processes with as many devices each."""
    place = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": count, "JAX_PROCESS_ID": number}
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONFAULTHANDLER": "0"} | more
    environment["XLA_FLAGS"] = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment |= {name: str(value) for name, value in place.items()} if count > 1 else {}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **pipes)


def finish(processes, seconds=180):
    """Waits for processes; returns exit codes, standard outputs and standard errors."""
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], *zip(*outputs, strict=True)


def start_all(arguments, count, **options):
    port = free_port()
    return [start(arguments, number, count, port, **options) for number in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two classes of photos, and one of photos with masks."""
    root, rng = tmp_path_factory.mktemp("hosts"), np.random.default_rng(0)
    for i in range(80):
        pixels = rng.integers(0, 80, (12, 12), np.uint8)
        pixels[2:7, 2 + i % 2 : 7 + i % 2] += 120
        places = (root / "photos" / "ab"[i % 2], root / "pairs" / "images", root / "pairs" / "masks")
        for place, image in zip(places, (pixels, pixels, (pixels > 100).astype(np.uint8)), strict=True):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i}.png")
    return root


def wait_for(condition, processes, seconds=120):
    """Waits until a condition holds; fails if a process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, finish(processes)[2]
        assert time.monotonic() < end
        time.sleep(0.1)


def experiment(root, kind):
    """Returns an experiment with batch norm, dropout and augmentation, over photos that are decoded on demand."""
    choice = cnnlab.Choice
    if kind == "segmentation":
        parts = {"model": choice("unet", width=4, depth=1), "data": choice("pairs", path=str(root / "pairs"))}
    else:
        model = choice("convnet", stages=((4,), (6,)), dropout=0.5)
        parts = {"model": model, "data": choice("folder", path=str(root / "photos"), memory_megabytes=0)}
    training = Training(batch_size=16, epochs=2, augmentation=Augmentation(shift=0.1))
    return cnnlab.Experiment(task=choice(kind), training=training, **parts)


KINDS = ("segmentation", "classification")


@pytest.fixture(scope="module")
def decoded_by_four(folder):
    """Trains both kinds in four processes with two devices each; returns how many files each process decoded."""
    runs = [(experiment(folder, kind).to_json(), str(folder / f"{kind}4")) for kind in KINDS]
    codes, outputs, errors = finish(start_all(["-c", BOTH, json.dumps(runs)], 4))
    assert set(codes) == {0}, "".join(errors)[-3000:]
    return [json.loads(out.splitlines()[-1]) for out in outputs]


@pytest.mark.parametrize("kind", KINDS)
def test_four_processes_of_two_devices_have_the_losses_and_metrics_of_one(folder, decoded_by_four, kind):
    cnnlab.train(experiment(folder, kind), folder / f"{kind}1", quiet=True)
    one, four = (read_history(folder / f"{kind}{count}") for count in (1, 4))
    assert len(one) == len(four) == 2
    for alone, shared in zip(one, four, strict=True):
        for name in alone.keys() - {"seconds", "waiting"}:
            assert shared[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-5), name


def test_each_of_four_processes_decodes_only_its_own_rows(decoded_by_four):
    # 4 rows in 2 epochs of 3 steps; 2 of 8 validation photos in three validations; and 1 to 3 batches to compile.
    assert all(24 + 6 + 4 <= count <= 24 + 6 + 12 for count in decoded_by_four)


def test_a_killed_process_ends_the_others_with_a_message_and_two_processes_go_on(folder, decoded_by_four):
    run = folder / "classification4"
    more = ["-m", "cnnlab", "train", "--resume", run, "--training.epochs"]
    processes = start_all([*more, "1000"], 4)
    wait_for(lambda: len(read_history(run)) > 2, processes)
    processes[3].kill()
    codes, _, errors = finish(processes, 60)
    assert codes == [1, 1, 1, -signal.SIGKILL]
    assert all("another process of this training ended or cannot be reached" in text for text in errors[:3])
    saved = len(read_history(run))
    asked = json.loads((run / "experiment.json").read_text())
    asked["training"]["epochs"] = saved  # as if fewer had been asked for, so that the test ends
    (run / "experiment.json").write_text(json.dumps(asked))
    codes, (output, other), errors = finish(start_all([*more, str(saved + 1), "--json"], 2))
    assert codes == [0, 0], "".join(errors)[-3000:]
    assert json.loads(output)["examples"] == 16
    assert other == ""
    assert [row["epoch"] for row in read_history(run)] == list(range(1, saved + 2))


def test_processes_that_disagree_say_in_what_before_the_first_step(folder, tmp_path):
    photos = [folder / "photos", tmp_path / "others"]
    shutil.copytree(*photos)
    (photos[1] / "a" / "0.png").write_bytes((photos[0] / "b" / "1.png").read_bytes())
    port, more = free_port(), ["--model.name", "linear", "--run-dir", tmp_path / "run", "--data.path"]
    processes = [start(["-m", "cnnlab", "train", *more, photos[i]], i, 2, port, devices=1) for i in range(2)]
    codes, _, errors = finish(processes)
    assert codes == [1, 1]
    for text in errors:
        assert "cnnlab: the processes of this training differ in data.fingerprint.train" in text
    assert not (tmp_path / "run" / "checkpoints").exists()
