"""Runs survive kills, signals, damaged files and a full disk."""

import contextlib
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from conftest import epochs

import cnnlab
from cnnlab.training import checkpoint, loop
from cnnlab.training.run import read_history
from cnnlab.training.stopping import Stopped

COMMAND = """
import json, resource, signal, sys, cnnlab
from pathlib import Path
from cnnlab.training.stopping import Stopped
if {limit}:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    cnnlab.train(cnnlab.Experiment.from_json(Path({experiment!r}).read_text()), {run!r}, quiet=True)
except Stopped as stopped:
    print(stopped)
"""


@pytest.fixture(scope="module")
def experiment(small):
    """Returns an experiment of four epochs with 512 steps each."""
    return dataclasses.replace(
        epochs(small, 4),
        data=small.data.replace(train=8192),
        training=cnnlab.Training(epochs=4, batch_size=16, ema=0.9),
    )


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory):
    """Trains the experiment without interruption and returns the run directory."""
    run = tmp_path_factory.mktemp("whole") / "run"
    cnnlab.train(experiment, run, quiet=True)
    return run


@pytest.fixture
def start(experiment, tmp_path):
    """Returns a function that trains the experiment in another process."""
    (tmp_path / "experiment.json").write_text(json.dumps(experiment.to_json()))

    def start(run, limit=0):
        code = COMMAND.format(experiment=str(tmp_path / "experiment.json"), run=str(run), limit=limit)
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(condition, process, seconds=60):
    """Waits until the condition holds; fails if the process ends before."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)


def saved(run):
    return [path for path in (run / "checkpoints").glob("*") if path.name.isdigit()]


def saving(run):
    return [path for path in (run / "checkpoints").glob("*") if not path.name.isdigit()]


def latest(run):
    return cnnlab.load(run, step="latest").variables


def equal(a, b):
    return all((x == y).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_killed_again_and_again_ends_with_the_bits_of_an_uninterrupted_one(experiment, whole, start, tmp_path):
    run = tmp_path / "killed"
    points = [
        lambda: (run / "experiment.json").exists(),  # before the first step
        lambda: saving(run),  # during a save
        lambda: len(read_history(run)) >= 2,  # during or before a save
        lambda: max((int(path.name) for path in saved(run)), default=0) >= 3 * 512,  # after a save
    ]
    for point in points:
        process = start(run)
        wait_for(point, process)
        process.kill()
        process.wait()
    cnnlab.train(experiment, run, quiet=True)
    assert equal(latest(run), latest(whole))
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in read_history(r)] for r in (run, whole)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_during_the_epoch_and_resumes_to_the_same_bits(experiment, whole, start, tmp_path, number):
    process = start(tmp_path / "run")
    wait_for(lambda: tmp_path / "run" / "checkpoints" / "1024" in saved(tmp_path / "run"), process)
    time.sleep(0.05)  # the next epoch has begun and is not over
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert number.name in output
    assert "the same command goes on" in output
    stopped = max(int(path.name) for path in saved(tmp_path / "run"))
    assert 1024 < stopped < 1536
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert equal(latest(tmp_path / "run"), latest(whole))
    losses = [[row["loss"] for row in read_history(run)] for run in (tmp_path / "run", whole)]
    assert losses[0] == losses[1]


@pytest.mark.device
def test_a_run_stopped_during_a_validation_saves_at_once_and_validates_later(small, tmp_path, monkeypatch):
    cnnlab.train(epochs(small, 3), tmp_path / "whole", quiet=True)
    experiment = epochs(small, 3)
    experiment = dataclasses.replace(
        experiment, training=dataclasses.replace(experiment.training, evaluation_batch_size=8)
    )
    batches, validation_rows = [], loop._validation_rows
    each = -(-len(cnnlab.data.shapes(**small.data.options)["validation"]) // 8)

    @contextlib.contextmanager
    def second_epoch():
        yield lambda: "SIGTERM" if len(batches) == 2 * each + 1 else ""  # one validation precedes training

    monkeypatch.setattr(loop, "stop_signals", second_epoch)
    monkeypatch.setattr(loop, "_validation_rows", lambda *args: (batches.append(1), validation_rows(*args))[1])
    with pytest.raises(Stopped, match="SIGTERM at step .* the same command goes on") as stopped:
        cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert stopped.value.exit_code == 128 + 15
    assert [row["epoch"] for row in read_history(tmp_path / "run")] == [1]
    monkeypatch.undo()
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert equal(latest(tmp_path / "run"), latest(tmp_path / "whole"))
    assert [row["epoch"] for row in read_history(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.device
def test_a_run_resumed_by_another_process_ends_with_the_bits_of_an_uninterrupted_one(small, tmp_path):
    text = json.dumps(epochs(small, 1).to_json())
    code = f"import cnnlab; cnnlab.train(cnnlab.Experiment.from_json({text!r}), {str(tmp_path / 'run')!r}, quiet=True)"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in ("run", "whole"):
        cnnlab.train(epochs(small, 2), tmp_path / name, quiet=True)
    assert [row["epoch"] for row in read_history(tmp_path / "run")] == [1, 2]
    assert equal(latest(tmp_path / "run"), latest(tmp_path / "whole"))


def test_a_long_epoch_is_saved_before_its_end_and_ends_with_the_same_bits(small, tmp_path, monkeypatch):
    cnnlab.train(small, tmp_path / "whole", quiet=True)
    steps, save = [], checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda manager, step, **rest: (steps.append(step), save(manager, step, **rest))
    )
    often = dataclasses.replace(small, training=dataclasses.replace(small.training, save_minutes=1e-9))
    cnnlab.train(often, tmp_path / "run", quiet=True)
    assert steps == list(range(1, max(steps) + 1))
    assert equal(latest(tmp_path / "run"), latest(tmp_path / "whole"))


@pytest.fixture(params=["flipped", "truncated", "missing"])
def damage(request):
    """Returns a function that damages one array file of a step."""

    def damage_step(step):
        files = sorted((step / "model").rglob("d/*"), key=lambda path: path.stat().st_size)
        target = files[-1]
        content = bytearray(target.read_bytes())
        if request.param == "flipped":
            content[len(content) // 2] ^= 1
            target.write_bytes(content)
        elif request.param == "truncated":
            target.write_bytes(content[: len(content) // 2])
        else:
            shutil.rmtree(step / "model")

    return damage_step


@pytest.fixture(scope="module")
def noisy(small, tmp_path_factory):
    """Returns an experiment whose best and latest steps differ, its run directory, and the numbers of both steps."""
    experiment = dataclasses.replace(small, optimizer=cnnlab.Optimizer(learning_rate=0.02))
    run = tmp_path_factory.mktemp("noisy") / "run"
    for number in range(2, 12):
        cnnlab.train(epochs(experiment, number), run, quiet=True)
        if len(steps := sorted(int(path.name) for path in saved(run))) == 2:
            return epochs(experiment, number), run, *steps
    raise AssertionError("every epoch was the best so far")


def test_a_damaged_latest_step_falls_back_to_the_one_before_and_ends_with_the_same_bits(
    noisy, tmp_path, damage, capsys
):
    experiment, whole, _, last = noisy
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    damage(run / "checkpoints" / str(last))
    cnnlab.train(experiment, run)
    assert "going back to the step before it" in " ".join(capsys.readouterr().err.split())
    assert equal(latest(run), latest(whole))
    assert len(list((run / "damaged").iterdir())) == 1


def test_a_damaged_best_step_is_skipped_with_a_warning(noisy, tmp_path, damage):
    _, whole, best, _ = noisy
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    damage(run / "checkpoints" / str(best))
    with pytest.warns(UserWarning, match=f"step {best} .*; trying another step"):
        assert equal(cnnlab.load(run).variables, latest(whole))


def test_a_lack_of_memory_or_permission_is_no_damage():
    for error in (MemoryError(), PermissionError("Permission denied"), ValueError("PERMISSION_DENIED: no")):
        assert not isinstance(checkpoint.unreadable("a step", error), checkpoint.Damaged)
    assert isinstance(checkpoint.unreadable("a step", FileNotFoundError("gone")), checkpoint.Damaged)


def test_a_changed_digit_in_a_steps_config_is_damage(noisy, tmp_path):
    _, run, _, last = noisy
    shutil.copytree(run, tmp_path / "run")
    file = next((tmp_path / "run" / "checkpoints" / str(last) / "config").glob("metadata"))
    file.write_text(file.read_text().replace('"mean": [0.', '"mean": [1.'))
    with pytest.warns(UserWarning, match="config of step .* is damaged: its digest differs"):
        cnnlab.load(tmp_path / "run", step="latest")


def test_other_versions_than_those_at_the_beginning_are_reported(small, run, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "versions", lambda: {"jax": "99.0"})
    cnnlab.train(small, run)
    messages = " ".join(capsys.readouterr().err.split())
    assert ", now 99.0: later steps may differ in their last bits" in messages


def test_a_run_whose_every_step_is_damaged_is_refused(run, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for step in saved(copy):
        damage(step)
    with pytest.raises(ValueError, match="no checkpoint is whole"), pytest.warns(UserWarning, match="trying another"):
        cnnlab.load(copy)


def test_a_full_disk_while_saving_loses_no_earlier_step(experiment, start, tmp_path):
    pytest.importorskip("resource")
    run = tmp_path / "run"
    cnnlab.train(epochs(experiment, 1), run, quiet=True)
    before = latest(run)
    process = start(run, limit=8192)  # no file may grow beyond 8 KiB
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert errors
    assert equal(latest(run), before)
    cnnlab.train(experiment, run, quiet=True)
    assert len(read_history(run)) == 4


def test_init_from_copies_arrays_that_fit_and_starts_a_new_head(small, run, tmp_path, capsys):
    source = cnnlab.load(run).variables["params"]
    other = dataclasses.replace(
        small, data=small.data.replace(kinds=2), optimizer=cnnlab.Optimizer(name="sgd", learning_rate=1e-30)
    )
    tuned = cnnlab.train(other, tmp_path / "tuned", init_from=run).variables["params"]
    assert equal(tuned["conv1"], source["conv1"])
    assert tuned["dense3"]["kernel"].shape[1] == 2
    messages = " ".join(capsys.readouterr().err.split())
    assert "8 of 10 arrays" in messages
    assert "dense3" in messages


def test_another_source_of_first_weights_is_another_run(small, run, tmp_path):
    cnnlab.train(small, tmp_path / "fresh", quiet=True)
    with pytest.raises(ValueError, match="began from fresh weights, not .*small; choose another --run-dir"):
        cnnlab.train(small, tmp_path / "fresh", init_from=run, quiet=True)
    cnnlab.train(small, tmp_path / "tuned", init_from=run, quiet=True)
    cnnlab.train(epochs(small, 2), tmp_path / "tuned", quiet=True)  # the run remembers its source
    cnnlab.train(epochs(small, 2), tmp_path / "tuned", init_from=run, quiet=True)


def test_a_step_with_damaged_metrics_is_set_aside(small, tmp_path):
    worst = dataclasses.replace(
        small.training, monitor="nll", maximise=True
    )  # the first step is the best, so two steps remain
    experiment = dataclasses.replace(small, training=worst)
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    expected = cnnlab.evaluate(tmp_path / "run")
    cnnlab.train(epochs(experiment, 2), tmp_path / "run", quiet=True)
    _, last = sorted(saved(tmp_path / "run"), key=lambda path: int(path.name))
    (last / "metrics" / "metrics").write_text('{"nll"')
    with pytest.warns(UserWarning, match="metrics is not valid JSON.*the step is moved to the run's folder damaged"):
        assert cnnlab.evaluate(tmp_path / "run") == expected
    assert len(list((tmp_path / "run" / "damaged").iterdir())) == 1


def test_a_finished_run_without_its_history_is_not_trained_further(small, tmp_path):
    before = cnnlab.train(small, tmp_path / "run", quiet=True).variables
    (tmp_path / "run" / "metrics.jsonl").unlink()
    assert equal(cnnlab.train(small, tmp_path / "run", quiet=True).variables, before)
    assert len(saved(tmp_path / "run")) == 1


def test_init_from_a_run_of_another_model_is_refused(small, run, tmp_path):
    other = dataclasses.replace(small, model=cnnlab.Choice("linear"))
    with pytest.raises(ValueError, match="no array of .* fits this network"):
        cnnlab.train(other, tmp_path / "linear", init_from=run, quiet=True)


def test_init_from_a_run_on_grey_images_is_refused_for_colour(small, run, tmp_path):
    images = np.zeros((90, 16, 16, 3), np.uint8)
    data = cnnlab.data.from_arrays({"train": {"image": images, "label": np.arange(90) % 3}}, validation=0.5)
    with pytest.raises(ValueError, match="images of 1 channels, arrays has 3"):
        cnnlab.train(small, tmp_path / "colour", data=data, init_from=run, quiet=True)


def test_a_network_of_other_widths_is_distinguished_from_a_damaged_checkpoint(run):
    other = cnnlab.create_model("lenet5", num_classes=5)
    with pytest.raises(
        ValueError, match=r"does not fit.*dense3'\]\['bias'\] is float32\[3\] there and float32\[5\] here"
    ):
        cnnlab.load(run, network=other)
