"""Runs elsewhere: what is published and when, and resuming on a machine that has no copy."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from conftest import epochs

import cnnlab
from cnnlab.files import cache, copying, lease, publishing, store
from cnnlab.training import checkpoint, elsewhere
from cnnlab.training.run import read_history, runs_in

RUN = "memory://bucket/run"


@pytest.fixture
def system(memory_store, monkeypatch):
    """Returns fsspec's file system in memory, empty; the cache is a folder of the test."""
    monkeypatch.setattr(store, "PAUSES", ())
    return memory_store


@pytest.fixture
def other_machine(monkeypatch, tmp_path):
    """Returns a function after which the cache is empty, as on another machine."""

    def leave():
        monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "other"))

    return leave


def same(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a.variables, b.variables))


def test_a_run_elsewhere_is_the_local_run(system, small, run, other_machine):
    trained = cnnlab.train(small, RUN, quiet=True)
    other_machine()
    assert same(trained, cnnlab.load(run))
    assert same(trained, cnnlab.load(RUN))
    assert cnnlab.evaluate(RUN) == cnnlab.evaluate(run)


def test_the_stored_run_holds_no_path_of_the_cache_and_no_lock(system, small, tmp_path):
    cnnlab.train(small, RUN, quiet=True)
    assert not [path for path, file in system.store.items() if str(tmp_path).encode() in file.getvalue()]
    assert not [path for path in system.store if ".lock" in path or "tmp" in path]


def test_another_machine_resumes_where_the_first_one_published(system, small, other_machine, tmp_path):
    cnnlab.train(epochs(small, 1), RUN, quiet=True)
    other_machine()
    resumed = cnnlab.train(epochs(small, 2), RUN, quiet=True)
    whole = cnnlab.train(epochs(small, 2), tmp_path / "whole", quiet=True)
    assert same(resumed, whole)
    assert [row["epoch"] for row in read_history(copying.fetch(RUN))] == [1, 2]


def test_each_epoch_is_published_before_the_next_one_begins(system, small):
    seen = []

    def look(history, trained):
        table = system.cat("/bucket/run/metrics.jsonl") if system.exists("/bucket/run/metrics.jsonl") else b""
        seen.append((len(history["epoch"]), len(table.splitlines())))

    cnnlab.train(epochs(small, 3), RUN, quiet=True, callbacks=[look])
    assert seen == [(1, 0), (2, 1), (3, 2)]


def test_a_training_that_ends_with_an_error_is_published_and_lets_the_lock_go(system, small, other_machine):
    def fail(history, trained):
        raise KeyError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        cnnlab.train(epochs(small, 2), RUN, quiet=True, callbacks=[fail])
    other_machine()
    assert cnnlab.load(RUN).history["epoch"].tolist() == [1]
    assert not [path for path in system.store if ".lock" in path]


def test_a_step_that_is_deleted_here_is_deleted_there(system, small):
    cnnlab.train(epochs(small, 4), RUN, quiet=True)
    steps = {path.split("/")[4] for path in system.find("/bucket/run/checkpoints")}
    with checkpoint.open_manager(cache.here(RUN), read_only=True) as manager:
        assert steps == {str(step) for step in manager.all_steps()}


def test_a_step_that_was_not_published_to_its_end_is_no_step(system, small, other_machine):
    cnnlab.train(epochs(small, 1), RUN, quiet=True)
    step = system.glob("/bucket/run/checkpoints/*")[0]
    for path in system.find(step):  # a later step, of which the upload was cut before the last file
        if not path.endswith("config/metadata"):
            system.pipe(path.replace(step, "/bucket/run/checkpoints/999"), system.cat(path))
    other_machine()
    with checkpoint.open_manager(elsewhere.run_here(RUN), read_only=True) as manager:
        assert [str(number) for number in manager.all_steps()] == [step.rpartition("/")[2]]


def test_the_rest_of_a_step_that_was_not_published_to_its_end_is_deleted_by_the_next_publication(system, small):
    system.pipe("/bucket/run/experiment.json", b"{}")
    system.pipe("/bucket/run/checkpoints/2/model/d/1", b"rest")
    cnnlab.train(epochs(small, 1), RUN, quiet=True)
    assert not system.exists("/bucket/run/checkpoints/2")


def test_the_last_file_of_a_step_is_one_without_which_it_cannot_be_read(system, small):
    cnnlab.train(small, RUN, quiet=True)
    last = [path for path in cache.here(RUN).rglob("*") if elsewhere.turn(path.as_posix()) == 1]
    assert len(last) == 1
    last[0].unlink()
    with pytest.raises(ValueError, match="no checkpoint is whole"):
        cnnlab.load(cache.here(RUN))


def test_training_goes_on_when_an_epoch_cannot_be_published(system, small, monkeypatch):
    publish, calls = publishing.publish, []

    def cut_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("memory://bucket/run: writing it failed")
        return publish(*arguments, **options)

    monkeypatch.setattr(publishing, "publish", cut_once)
    with pytest.warns(UserWarning, match="not published: memory://bucket/run"):
        cnnlab.train(epochs(small, 2), RUN, quiet=True)
    assert len(system.cat("/bucket/run/metrics.jsonl").splitlines()) == 2


def test_a_run_that_could_not_be_published_goes_on_here_without_loss(system, small, monkeypatch):
    def cut(*_, **__):
        raise OSError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "publish", cut)
        with pytest.raises(OSError, match="cut"), pytest.warns(UserWarning, match="not published"):
            cnnlab.train(epochs(small, 1), RUN, quiet=True)
    cnnlab.train(epochs(small, 1), RUN, quiet=True)
    assert "is finished after 1 epoch" in system.cat("/bucket/run/log.txt").decode()


def test_two_trainings_of_one_run_are_refused(system, small, monkeypatch):
    monkeypatch.setattr(lease, "RENEWAL", 0.1)
    with lease.lease(RUN, owner="another machine"), pytest.raises(ValueError, match=f"another process trains in {RUN}"):
        cnnlab.train(small, RUN, quiet=True)
    assert not system.exists("/bucket/run/experiment.json")


def test_a_run_that_trains_here_is_read_where_it_is_trained(system, small):
    def look(history, trained):
        assert len(read_history(elsewhere.run_here(RUN))) == len(history["epoch"])

    cnnlab.train(epochs(small, 2), RUN, quiet=True, callbacks=[look])


def test_several_processes_need_a_shared_folder(system, small, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=f"{RUN} cannot be the run of several processes"), elsewhere.published(RUN):
        pass


def test_a_run_inside_a_copy_is_a_local_run(system, small):
    folder, _ = cache.begin(RUN)
    cnnlab.train(small, folder / "fold0", quiet=True)
    assert (folder / "fold0" / "experiment.json").exists()
    assert not system.exists("/bucket/run/fold0")


def test_each_seed_has_a_run_of_its_own(system, small, other_machine):
    trained = cnnlab.train_seeds(small, RUN, seeds=2, quiet=True)
    other_machine()
    assert same(trained[1], cnnlab.load(f"{RUN}/seed1"))
    assert [path.name for path in runs_in(elsewhere.run_here(RUN))] == ["seed0", "seed1"]


def test_seeds_are_trained_together_elsewhere_too(system, small):
    trained = cnnlab.train_seeds(small, RUN, seeds=2, together=True, quiet=True)
    assert same(trained[0], cnnlab.load(f"{RUN}/seed0"))


def test_a_calibration_is_published_into_its_run(system, small, other_machine):
    many = dataclasses.replace(small, data=small.data.replace(validation=200))
    cnnlab.train(many, RUN, quiet=True)
    cnnlab.evaluate(RUN, calibrate="temperature")
    other_machine()
    assert cnnlab.evaluate(RUN, calibrate="saved")["calibrated"] in (0, 1)


def test_the_data_keeps_its_address_in_the_run(system, small, shapes_folder):
    experiment = dataclasses.replace(small, data=cnnlab.Choice("folder", path="memory://bucket/photos"))
    cnnlab.train(experiment, RUN, quiet=True)
    stored = json.loads(system.cat("/bucket/run/experiment.json"))
    assert stored["data"]["path"] == "memory://bucket/photos"
    assert cnnlab.evaluate(RUN)["examples"] > 0


@pytest.fixture
def shapes_folder(system):
    """Puts a folder of two classes to memory://bucket/photos."""
    import io

    from PIL import Image

    random = np.random.default_rng(0)
    for name, base in (("dark", 0), ("light", 150)):
        for i in range(20):
            file = io.BytesIO()
            Image.fromarray(random.integers(base, base + 100, (16, 16, 3), np.uint8)).save(file, format="png")
            system.pipe(f"/bucket/photos/{name}/{i}.png", file.getvalue())
