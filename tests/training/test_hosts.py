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

TRAIN = """
import sys
from pathlib import Path
import cnnlab
import jax
from cnnlab.__main__ import main
from cnnlab.commands import train
from cnnlab.data.streaming import ImageFiles
from cnnlab.runtime import distributed
from cnnlab.training import loop

distributed.SILENT_SECONDS = 10
root, *arguments = sys.argv[1:]
sys.argv[1:], decoded, epochs = ["train", *arguments], [], []
read, compile_steps, finish_epoch, own = ImageFiles._read, loop.compile_steps, loop.finish_epoch, train._train
ImageFiles._read = lambda files, name: decoded.append(name) or read(files, name)
loop.compile_steps = lambda *arguments: decoded.clear() or compile_steps(*arguments)

def counted(*arguments, **options):
    finished = finish_epoch(*arguments, **options)
    epochs.append(None)
    if len(epochs) == 2:
        Path(root, f"decoded{jax.process_index()}").write_text(str(len(decoded)))
    return finished

def both(*arguments):
    cnnlab.train(cnnlab.Experiment.from_json(Path(root, "segmentation.json").read_text()), Path(root, "segmentation4"))
    loop.finish_epoch = counted
    return own(*arguments)

train._train = both
sys.exit(main())
"""
"""A training by the command, after another one in the same processes; counts the files that two epochs decode."""

TOLD = """
import contextlib, io, json, sys
from pathlib import Path
import jax
from cnnlab.cli import main
from cnnlab.runtime import distributed

told, together = [], distributed.together
with together(True):
    distributed.together = lambda asked: contextlib.nullcontext()
    for arguments in json.loads(sys.argv[1])[jax.process_index()]:
        with contextlib.redirect_stderr(io.StringIO()) as text:
            told.append((main(["train", *arguments]), text.getvalue()))
    Path(sys.argv[2], f"told{jax.process_index()}").write_text(json.dumps(told))
"""
"""Several commands one after the other in the same processes; stores exit codes and messages."""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(arguments, number, count, port, *, devices=2, **more):
    """Starts one of several processes with as many devices each."""
    place = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": count, "JAX_PROCESS_ID": number}
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONFAULTHANDLER": "0"}
    environment["XLA_FLAGS"] = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment |= {name: str(value) for name, value in place.items()} if count > 1 else {}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=environment, **pipes, **more)


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
    """Returns an experiment with batch norm and dropout; that of photos, decoded on demand, has augmentation, too."""
    choice, training = cnnlab.Choice, {"batch_size": 24, "epochs": 2}
    if kind == "segmentation":
        parts = {"model": choice("encoder_decoder", features=4), "data": choice("pairs", path=str(root / "pairs"))}
    else:
        training["augmentation"] = Augmentation(shift=0.1)
        model = choice("convnet", stages=((4,),), dropout=0.5)
        parts = {"model": model, "data": choice("folder", path=str(root / "photos"), memory_megabytes=0)}
    return cnnlab.Experiment(task=choice(kind), training=Training(**training), **parts)


KINDS = ("segmentation", "classification")


@pytest.fixture(scope="module")
def killed(folder):
    """Trains both kinds in four processes with two devices each, and kills the last one after two epochs.

    Returns exit codes and standard errors.
    """
    for kind in KINDS:
        (folder / f"{kind}.json").write_text(json.dumps(experiment(folder, kind).to_json()))
    run = folder / "classification4"
    run.mkdir()
    shutil.copy(folder / "classification.json", run / "experiment.json")
    processes = start_all(["-c", TRAIN, folder, "--resume", run, "--training.epochs", "1000"], 4)
    try:
        wait_for(lambda: len(read_history(run)) > 2, processes)
    finally:
        processes[3].kill()
    codes, _, errors = finish(processes, 60)
    return codes, errors


@pytest.mark.parametrize("kind", KINDS)
def test_four_processes_of_two_devices_have_the_losses_and_metrics_of_one(folder, killed, kind):
    cnnlab.train(experiment(folder, kind), folder / f"{kind}1", quiet=True)
    one, four = (read_history(folder / f"{kind}{count}") for count in (1, 4))
    for alone, shared in zip(one, four[:2], strict=True):
        for name in alone.keys() - {"seconds", "waiting"}:
            assert shared[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-5), name


def test_each_of_four_processes_decodes_only_its_own_rows(folder, killed):
    # 6 rows in 2 epochs of 2 steps; 2 of 8 validation photos in three validations; and 1 to 3 batches to compile.
    counts = [int((folder / f"decoded{number}").read_text()) for number in range(4)]
    assert all(24 + 6 + 6 <= count <= 24 + 6 + 18 for count in counts)


def test_a_killed_process_ends_the_others_with_a_message(killed):
    codes, errors = killed
    assert codes == [1, 1, 1, -signal.SIGKILL]
    assert all("another process of this training ended or cannot be reached" in text for text in errors[:3])


def test_two_processes_of_three_devices_go_on_with_a_run_of_eight_devices(folder, killed):
    run = folder / "classification4"
    saved = len(read_history(run))
    asked = json.loads((run / "experiment.json").read_text())
    asked["training"]["epochs"] = saved  # as if fewer had been asked for, so that the test ends
    (run / "experiment.json").write_text(json.dumps(asked))
    more = ["-m", "cnnlab", "train", "--resume", run, "--training.epochs", saved + 1, "--json"]
    codes, (output, other), errors = finish(start_all(more, 2, devices=3))
    assert codes == [0, 0], "".join(errors)[-3000:]
    assert json.loads(output)["examples"] == 16
    assert other == ""
    assert [row["epoch"] for row in read_history(run)] == list(range(1, saved + 2))


@pytest.fixture(scope="module")
def told(folder, tmp_path_factory):
    """Runs five commands with errors, and one for two seeds, in two processes with a current directory each.

    Returns the exit codes and messages of both, and the folder.
    """
    root = tmp_path_factory.mktemp("told")
    photos = [folder / "photos", root / "others"]
    shutil.copytree(*photos)
    (photos[1] / "a" / "0.png").write_bytes((photos[0] / "b" / "1.png").read_bytes())
    linear = ["--model.name", "linear", "--data.path"]
    small = [f"--data.{name}" for name in ("size=16", "train=16", "validation=8", "test=8")]
    short = ["--training.batch-size=8", "--training.epochs=1", "--training.seeds=2", f"--run-dir={root / 'seeds'}"]
    commands = [
        [
            [*linear, str(photos[0]), *(["--wrong"] if number else [])],
            [*linear, str(photos[0]), "--model.name", "linears" if number else "linear"],
            [*linear, str(photos[number]), "--run-dir", str(root / "differing")],
            [*linear, str(photos[0]), "--run-dir", "unshared"],
            [*linear, str(photos[0]), "--run-dir", str(root / "seven"), "--training.batch-size", "7"],
            ["shapes-classification", *linear[:2], *small, *short],
        ]
        for number in range(2)
    ]
    port, arguments = free_port(), ["-c", TOLD, json.dumps(commands), root]
    for number in range(2):
        (root / str(number)).mkdir()
    processes = [start(arguments, number, 2, port, devices=1, cwd=root / str(number)) for number in range(2)]
    codes, _, errors = finish(processes)
    assert codes == [0, 0], "".join(errors)[-3000:]
    return *(json.loads((root / f"told{number}").read_text()) for number in range(2)), root


def test_errors_of_one_process_and_differences_are_told_by_both_before_the_first_step(told):
    first, second, root = told
    assert [code for code, _ in first[:5]] == [1, 1, 1, 1, 1]
    assert [code for code, _ in second[:5]] == [2, 2, 1, 1, 1]
    assert "process 1 of 0..1: its arguments are wrong; it has printed in what" in first[0][1]
    assert "Unrecognized options: --wrong" in second[0][1]
    assert "process 1 of 0..1: unknown model 'linears'" in first[1][1]
    for process in (first, second):
        assert "the processes of this training differ in data.fingerprint.train" in process[2][1]
        assert "process 1 of 0..1 sees another directory at unshared than the first process" in process[3][1]
        assert "batch size 7 does not divide over 2 devices" in process[4][1]
    assert {path.parent.parent.name for path in root.rglob("checkpoints")} == {"seeds"}


def test_two_processes_train_several_seeds_in_turn(told):
    first, second, root = told
    assert (first[5][0], second[5][0]) == (0, 0), first[5][1]
    assert [len(read_history(root / "seeds" / name)) for name in ("seed0", "seed1")] == [1, 1]
    assert "accuracy_sd" in json.loads((root / "seeds" / "summary.json").read_text())
