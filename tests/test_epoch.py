import dataclasses

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.training import checkpoint, epoch
from cnnlab.training.run import read_history


def over(experiment, **training):
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, **training))


@pytest.fixture(scope="module")
def plain(small):
    """Two epochs of a method whose steps do not enlarge the last digit's differences."""
    return over(dataclasses.replace(small, optimizer=cnnlab.Optimizer(name="sgd", learning_rate=0.05)), epochs=2)


@pytest.fixture(scope="module")
def sent(plain, tmp_path_factory):
    run = tmp_path_factory.mktemp("sent") / "run"
    return cnnlab.train(plain, run, quiet=True), run


def assert_same(one, other):
    for mine, its in zip(jax.tree.leaves(one.variables), jax.tree.leaves(other.variables), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


def test_examples_that_stay_on_the_device_train_the_same_network(plain, sent, tmp_path):
    stayed = cnnlab.train(over(plain, resident=True), tmp_path / "run", quiet=True)
    assert_same(stayed, sent[0])
    losses = [[row["loss"] for row in read_history(run)] for run in (tmp_path / "run", sent[1])]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_many_steps_as_one_program_can_be_saved_between_any_two_and_go_on_sent(plain, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch, "FIRST", 1)
    monkeypatch.setattr(epoch, "SECONDS", (0, np.inf))
    steps, save = [], checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda manager, step, **rest: (steps.append(step), save(manager, step, **rest))
    )
    cnnlab.train(over(plain, resident=True, save_minutes=1e-9, epochs=1), tmp_path / "run", quiet=True)
    assert steps == list(range(1, max(steps) + 1))
    assert_same(cnnlab.train(plain, tmp_path / "run", quiet=True), sent[0])


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
    assert "found in" in capsys.readouterr().err


def test_examples_that_are_drawn_anew_or_shared_by_devices_cannot_stay(plain, monkeypatch):
    from cnnlab.training.plan import plan

    made = plan(over(plain, resident=True))
    devices = jax.devices()[:1]
    assert epoch.stays(made, epoch.Mesh(np.array(devices), ("data",)))
    with pytest.raises(ValueError, match="cannot stay on the device: 2 devices share each batch; leave --training"):
        epoch.stays(made, epoch.Mesh(np.array(devices * 2), ("data",)))
    monkeypatch.setattr(type(made.dataset["train"]), "of_epoch", lambda *_: None, raising=False)
    with pytest.raises(ValueError, match="cannot stay on the device: they are read or drawn anew in every epoch"):
        epoch.stays(made, epoch.Mesh(np.array(devices), ("data",)))
