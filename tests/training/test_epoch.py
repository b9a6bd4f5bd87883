import contextlib
import dataclasses

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.training import epoch, loop, seeds
from cnnlab.training.plan import make_plan
from cnnlab.training.run import read_history
from cnnlab.training.stopping import Stopped


def over(experiment, **training):
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, **training))


@pytest.fixture(scope="module")
def plain(small):
    """Returns an experiment of two epochs with SGD, which does not amplify differences in the last digits."""
    return over(dataclasses.replace(small, optimizer=cnnlab.Optimizer(name="sgd", learning_rate=0.05)), epochs=2)


@pytest.fixture(scope="module")
def sent(plain, tmp_path_factory):
    run = tmp_path_factory.mktemp("sent") / "run"
    return cnnlab.train(plain, run, quiet=True), run


def assert_same(one, other):
    for mine, its in zip(jax.tree.leaves(one.variables), jax.tree.leaves(other.variables), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


@contextlib.contextmanager
def stopped_in_the_first_epoch(monkeypatch, module):
    """Simulates a signal at the beginning of the first epoch."""
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "stop_signals", lambda: contextlib.nullcontext(lambda: "SIGTERM" if epochs else ""))
        patch.setattr(module, "until_pause", lambda *_: epochs.append(True) or (lambda: True))
        yield


@pytest.mark.device
def test_examples_that_stay_on_the_device_train_the_same_network(plain, sent, tmp_path):
    resident = cnnlab.train(over(plain, resident=True), tmp_path / "run", quiet=True)
    assert_same(resident, sent[0])
    losses = [[row["loss"] for row in read_history(run)] for run in (tmp_path / "run", sent[1])]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("number", [1, 2])
def test_an_epoch_in_parts_trains_the_same_network(plain, sent, tmp_path, monkeypatch, number):
    monkeypatch.setattr(epoch, "steps_at_once", lambda *_: number)
    assert make_plan(plain).steps == 3
    assert_same(cnnlab.train(over(plain, resident=True), tmp_path / "run", quiet=True), sent[0])


@pytest.mark.device
def test_a_run_stopped_amid_an_epoch_goes_on_with_its_batches_sent(plain, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch, "steps_at_once", lambda *_: 2)
    with stopped_in_the_first_epoch(monkeypatch, loop), pytest.raises(Stopped, match="SIGTERM at step 2"):
        cnnlab.train(over(plain, resident=True), tmp_path / "run", quiet=True)
    assert_same(cnnlab.train(plain, tmp_path / "run", quiet=True), sent[0])


def test_seeds_stopped_amid_an_epoch_go_on_together_to_the_same_networks(plain, sent, tmp_path, monkeypatch):
    with stopped_in_the_first_epoch(monkeypatch, seeds), pytest.raises(Stopped, match="SIGTERM at step 1"):
        cnnlab.train_seeds(plain, tmp_path, seeds=2, together=True, quiet=True)
    both = cnnlab.train_seeds(plain, tmp_path, seeds=2, together=True, quiet=True)
    assert_same(both[0], sent[0])


def test_metrics_are_read_after_the_next_program_starts(plain, monkeypatch):
    events = []

    def steps(state, *_):
        for number in range(3):
            events.append(number)
            yield state, {name: np.float32(number) for name in ("loss", "grad_norm")}

    def device_get(metrics):
        events.append(f"read {metrics['loss']:.0f}")
        return metrics

    monkeypatch.setattr(epoch.jax, "device_get", device_get)
    state = epoch.State(np.int32(0), None, None, None)
    _, losses = epoch.run_epoch(steps, state, [make_plan(plain)], [[]], lambda: False, lambda _: None, ["run"])
    assert losses == [[0, 1, 2]]
    assert events == [0, 1, "read 0", 2, "read 1", "read 2"]


def test_seeds_trained_together_share_the_examples_on_the_device(plain, sent, tmp_path):
    both = cnnlab.train_seeds(over(plain, resident=True), tmp_path, seeds=2, together=True, quiet=True)
    assert_same(both[0], sent[0])
    alone = cnnlab.train(dataclasses.replace(plain, seed=1), tmp_path / "alone", quiet=True)
    assert_same(both[1], alone)


def test_a_gradient_that_is_not_finite_is_told_with_its_step_amid_many(plain, tmp_path):
    steep = dataclasses.replace(plain, optimizer=cnnlab.Optimizer(name="sgd", learning_rate=1e30))
    with pytest.raises(FloatingPointError, match=r"at step [23] of epoch 1; .*run keeps the last good checkpoint"):
        cnnlab.train(over(steep, resident=True), tmp_path / "run", quiet=True)


def test_another_seed_finds_the_compiled_program_of_the_first(plain, sent, tmp_path, capsys):
    del sent  # trained before
    cnnlab.train(dataclasses.replace(plain, seed=5), tmp_path / "run")
    assert "read from" in capsys.readouterr().err


def test_examples_that_are_drawn_anew_or_shared_by_devices_cannot_stay(plain, monkeypatch):
    plan = make_plan(over(plain, resident=True))
    devices = jax.devices()[:1]
    assert epoch.stays(plan, epoch.Mesh(np.array(devices), ("data",)))
    with pytest.raises(ValueError, match="cannot stay on the device: 2 devices share each batch; leave --training"):
        epoch.stays(plan, epoch.Mesh(np.array(devices * 2), ("data",)))
    monkeypatch.setattr(type(plan.dataset["train"]), "of_epoch", lambda *_: None, raising=False)
    with pytest.raises(ValueError, match="cannot stay on the device: they are read or drawn anew in every epoch"):
        epoch.stays(plan, epoch.Mesh(np.array(devices), ("data",)))


def test_a_column_of_weights_reaches_the_steps_of_resident_columns():
    step = lambda state, batch, key: (state, batch["weight"])  # noqa: E731
    order, key = np.array([[3, 1], [0, 2]]), jax.random.key(0)
    weights = [
        epoch.take_steps(step, 0, columns, order, key)[1].tolist()
        for columns in ({"weight": jax.numpy.arange(4.0)}, {})
    ]
    assert weights == [[[3, 1], [0, 2]], [[1, 1], [1, 1]]]
