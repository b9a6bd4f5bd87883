import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import epochs

import cnnlab
from cnnlab.files.figures import save_figures
from cnnlab.plots.confusion import confusion_matrix
from cnnlab.training import checkpoint, restore
from cnnlab.training.restore import open_run_checkpoints
from cnnlab.training.run import read_history


def images(trained, n=3):
    return np.random.default_rng(0).integers(0, 256, (n, *trained.spec.shape), np.uint8)


def equal(a, b):
    return all((x == y).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_a_moved_run_is_evaluated_in_a_fresh_process_from_its_path_alone(run, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    here = cnnlab.evaluate(run)
    code = f"import cnnlab, json; print(json.dumps(cnnlab.evaluate({str(moved)!r})))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(there.stdout) == pytest.approx(here)


@pytest.mark.device
def test_training_in_pieces_equals_training_at_once(small, tmp_path):
    for epoch in (1, 2, 3):
        cnnlab.train(epochs(small, epoch), tmp_path / "pieces", quiet=True)
    cnnlab.train(epochs(small, 3), tmp_path / "once", quiet=True)
    one, other = (cnnlab.load(tmp_path / name, step="latest") for name in ("pieces", "once"))
    assert equal(one.variables, other.variables)
    assert [row["epoch"] for row in read_history(tmp_path / "pieces")] == [1, 2, 3]


@pytest.mark.device
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(small, run, tmp_path):
    again = cnnlab.train(small, tmp_path / "again", quiet=True)
    other = cnnlab.train(dataclasses.replace(small, seed=1), tmp_path / "other", quiet=True)
    assert equal(again.variables, cnnlab.load(run).variables)
    assert not equal(other.variables, again.variables)


def test_a_finished_run_is_left_as_it_is(small, run):
    before = (run / "metrics.jsonl").read_text()
    cnnlab.train(small, run, quiet=True)
    assert (run / "metrics.jsonl").read_text() == before


def test_a_finished_run_says_so_and_which_option_trains_on(small, run, capsys):
    cnnlab.train(small, run)
    assert re.search(r"is finished after \d+ epochs?; --training.epochs \d+ trains on", capsys.readouterr().err)


def test_the_best_and_the_latest_step_remain(small, tmp_path):
    training = cnnlab.Training(epochs=4, batch_size=32, monitor="accuracy")
    path = tmp_path / "run"
    cnnlab.train(dataclasses.replace(small, training=training), path, quiet=True)
    history = read_history(path)
    best = max(history, key=lambda row: row["validation_accuracy"])["step"]
    with open_run_checkpoints(path) as manager:
        assert checkpoint.candidates(manager, "best")[0] == best
        assert set(manager.all_steps()) == {best, 12}


def test_another_experiment_in_the_directory_is_refused_and_nothing_is_lost(small, run):
    before = cnnlab.load(run).variables
    with pytest.raises(
        ValueError, match=r"holds another experiment: its model.dropout is 0.5, here it is 0.1. cnnlab train --resume"
    ):
        cnnlab.train(dataclasses.replace(small, model=cnnlab.Choice("lenet5", dropout=0.1)), run, quiet=True)
    assert equal(cnnlab.load(run).variables, before)


def test_a_directory_of_other_files_is_refused(small, tmp_path):
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        cnnlab.train(small, tmp_path, quiet=True)


def test_a_second_process_is_refused(small, run):
    fcntl = pytest.importorskip("fcntl")
    with open(run / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process trains in"):
            cnnlab.train(small, run, quiet=True)


@pytest.mark.parametrize("content", [None, {"notes.txt": "x"}])
def test_a_path_that_is_no_run_is_refused(content, tmp_path):
    path = tmp_path / "nothing"
    if content:
        path.mkdir()
        (path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="nothing is no run"):
        cnnlab.load(path)


def test_arrays_that_are_not_the_saved_ones_are_damaged(run, monkeypatch):
    with open_run_checkpoints(run) as manager:
        number = manager.latest_step()
        config = checkpoint.read_config(manager, number)
        config["digest"]["model"]["['params']['conv1']['bias']"] = "float32[6] 0"
        like = cnnlab.load(run).variables
        with pytest.raises(
            ValueError, match=r"model of step 3 .* is damaged: the digest of \['params'\]\['conv1'\]\['bias'\] differs"
        ):
            checkpoint.restore(manager, number, "model", like, config)


def test_other_data_than_the_runs_is_refused(small, run, monkeypatch):
    original = cnnlab.data.shapes

    def changed(
        annotation="label", *, size: int, kinds=3, train: int, validation: int, test: int, noise=0.1, seed: int = 0
    ):
        return original(annotation, size=size, train=train, validation=validation, test=test, seed=seed + 9)

    monkeypatch.setitem(cnnlab.data.SOURCES, "shapes", cnnlab.data.Source(changed))
    with pytest.raises(ValueError, match="was trained with other splits of shapes-label"):
        cnnlab.evaluate(run)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(small, tmp_path):
    # The learning rate explodes after half of the epochs.
    explode = dataclasses.replace(
        epochs(small, 4),
        optimizer=cnnlab.Optimizer(name="sgd", learning_rate=1e-3, schedule="step", milestones=(0.5,), factor=1e30),
    )
    with pytest.raises(FloatingPointError, match=r"at step \d of epoch 3; .* Lower --optimizer.learning-rate"):
        cnnlab.train(explode, tmp_path / "run", quiet=True)
    latest = cnnlab.load(tmp_path / "run", step="latest")
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(latest.variables))
    assert len(read_history(tmp_path / "run")) == 2


def test_patience_stops_when_nothing_gets_better(small, tmp_path):
    stuck = dataclasses.replace(
        small,
        optimizer=cnnlab.Optimizer(name="sgd", learning_rate=1e-30),
        training=cnnlab.Training(epochs=9, batch_size=32, patience=2),
    )
    cnnlab.train(stuck, tmp_path / "run", quiet=True)
    assert len(read_history(tmp_path / "run")) == 3
    cnnlab.train(stuck, tmp_path / "run", quiet=True)
    assert len(read_history(tmp_path / "run")) == 3


def test_averaged_parameters_are_evaluated_and_resumed(small, tmp_path):
    def averaging(number):
        training = cnnlab.Training(epochs=number, batch_size=32, ema=0.9)
        return dataclasses.replace(small, training=training)

    for number in (1, 2):
        cnnlab.train(averaging(number), tmp_path / "pieces", quiet=True)
    cnnlab.train(averaging(2), tmp_path / "once", quiet=True)
    one, other = (cnnlab.load(tmp_path / name, step="latest") for name in ("pieces", "once"))
    assert equal(one.variables, other.variables)
    cnnlab.train(epochs(small, 2), tmp_path / "plain", quiet=True)
    assert not equal(one.variables, cnnlab.load(tmp_path / "plain", step="latest").variables)


class Mine(nn.Module):
    """A network of the user's own, whose only switch is `train`."""

    outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x).mean((1, 2)))
        return nn.Dense(self.outputs)(x)


def test_a_network_of_ones_own_trains_loads_and_samples(small, tmp_path):
    trained = cnnlab.train(small, tmp_path / "run", network=Mine(3), quiet=True)
    loaded = cnnlab.load(tmp_path / "run", network=Mine(3))
    x = images(trained)
    assert (cnnlab.predict(loaded, x).probs == cnnlab.predict(trained, x).probs).all()
    with pytest.raises(ValueError, match=r"random key, found 0; give jax.random.key\(0\)"):
        cnnlab.mc_predict(loaded, x, key=0, num_samples=5)
    mc = cnnlab.mc_predict(loaded, x, key=jax.random.key(0), num_samples=5)
    assert mc.variance.max() > 0
    with pytest.raises(ValueError, match="network of your own, Mine; pass network="):
        cnnlab.load(tmp_path / "run")
    with pytest.raises(ValueError, match=r"does not fit this network: missing \['params'\]\['conv1'\]"):
        cnnlab.load(tmp_path / "run", network=cnnlab.create_model("lenet5", num_classes=3))


def test_data_of_ones_own_trains_and_evaluation_requires_it(small, tmp_path):
    rng = np.random.default_rng(0)
    columns = {"image": rng.integers(0, 256, (60, 16, 16, 3), np.uint8), "label": np.arange(60) % 3}
    data = cnnlab.data.from_arrays({"train": columns, "test": columns}, classes=("ant", "bee", "cow"))
    trained = cnnlab.train(small, tmp_path / "run", data=data, quiet=True)
    assert trained.spec.classes == ("ant", "bee", "cow")
    assert cnnlab.evaluate(trained, data)["examples"] == 60
    with pytest.raises(ValueError, match="unknown data 'arrays'"):
        cnnlab.evaluate(tmp_path / "run")


def test_metrics_are_written_one_line_an_epoch(run):
    (row,) = read_history(run)
    assert row["epoch"] == 1
    assert row["step"] == 3
    assert {"loss", "seconds", "validation_nll", "validation_accuracy"} <= set(row)


def test_a_line_cut_off_by_a_crash_is_dropped(run, tmp_path):
    text = (run / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text + text[: len(text) // 2])
    assert read_history(tmp_path) == read_history(run)


def test_the_evaluation_program_is_compiled_once_for_uneven_splits(run):
    from cnnlab import trained as module

    one = cnnlab.load(run)
    data = restore.load_data(run)
    cnnlab.evaluate(one, data, batch_size=32)
    before = module.one_pass_rows.cache_size()
    cnnlab.evaluate(one, data, split="train", batch_size=32)
    cnnlab.evaluate(one, data, split="test", batch_size=32)  # 40 examples: one full batch, one of 8
    assert module.one_pass_rows.cache_size() == before


def test_predict_takes_one_image_more_as_another_program_and_refuses_other_shapes(run):
    trained = cnnlab.load(run)
    assert cnnlab.predict(trained, images(trained)).label.shape == (3,)
    for wrong, message in [
        (np.zeros((16, 16, 1), np.uint8), r"must be \[B, 16, 16, 1\] for this network, found \[16, 16, 1\]"),
        (np.zeros((2, 16, 16, 3), np.uint8), r"found \[2, 16, 16, 3\]"),
        (np.zeros((0, 16, 16, 1), np.uint8), "hold no example"),
        (np.zeros((2, 16, 16, 1), np.int32), "must be uint8"),
    ]:
        with pytest.raises(ValueError, match=message):
            cnnlab.predict(trained, wrong)


def test_a_trained_network_crosses_jit(run):
    trained = cnnlab.load(run)
    double = cnnlab.jit(lambda t, x: 2 * cnnlab.predict(t, x).probs)
    x = images(trained)
    np.testing.assert_allclose(double(trained, x), 2 * cnnlab.predict(trained, x).probs, rtol=1e-5)


def test_nothing_in_a_run_is_pickled(run):
    for folder, _, files in os.walk(run):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert file.read(2) not in (b"\x80\x04", b"\x80\x05"), name


def test_a_first_try_that_failed_leaves_the_directory_free(small, tmp_path):
    wrong = dataclasses.replace(small, training=cnnlab.Training(epochs=1, batch_size=32, monitor="mean_iou"))
    with pytest.raises(ValueError, match="monitor 'mean_iou' is no metric of this task; it has loss, accuracy"):
        cnnlab.train(wrong, tmp_path / "run", quiet=True)
    cnnlab.train(small, tmp_path / "run", quiet=True)


def test_another_network_of_the_same_class_is_another_run(small, tmp_path):
    @dataclasses.dataclass
    class Half(Mine):
        rate: float = 0.5

    cnnlab.train(small, tmp_path / "run", network=Half(3, rate=0.5), quiet=True)
    with pytest.raises(ValueError, match=r"began with the network Half\("):
        cnnlab.train(epochs(small, 2), tmp_path / "run", network=Half(3, rate=0.1), quiet=True)


def test_a_default_written_out_is_the_same_experiment(small, run):
    written = dataclasses.replace(small, model=small.model.replace(spatial_dropout=0.0))
    cnnlab.train(written, run, quiet=True)


def test_a_run_without_a_newer_option_resumes_with_its_default(small, run, tmp_path):
    shutil.copytree(run, tmp_path / "old")
    stored = json.loads((tmp_path / "old/experiment.json").read_text())
    del stored["training"]["seeds"], stored["optimizer"]["nesterov"]
    (tmp_path / "old/experiment.json").write_text(json.dumps(stored))
    cnnlab.train(small, tmp_path / "old", quiet=True)
    assert json.loads((tmp_path / "old/experiment.json").read_text()) == json.loads(
        (run / "experiment.json").read_text()
    )


def test_an_unknown_metric_needs_a_direction(small, tmp_path):
    odd = dataclasses.replace(small, training=cnnlab.Training(epochs=1, batch_size=32, monitor="regret"))
    with pytest.raises(ValueError, match="is more of the monitored metric 'regret' better, or less"):
        cnnlab.train(odd, tmp_path / "run", quiet=True)


def test_evaluation_on_data_of_other_classes_is_refused(run):
    trained = cnnlab.load(run)
    other = cnnlab.data.shapes(size=16, kinds=2, train=20, validation=10, test=10)
    with pytest.raises(ValueError, match=r"trained for the classes \('disc', 'square', 'triangle'\), shapes-label has"):
        cnnlab.evaluate(trained, other)


def test_a_metric_that_could_not_be_measured_is_null_in_the_files_and_never_stops_a_run(small, tmp_path):
    from cnnlab.training.run import write_history

    write_history(tmp_path, [{"step": 1, "validation_map": float("nan")}])
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "validation_map": None}
    assert np.isnan(read_history(tmp_path)[0]["validation_map"])


@dataclasses.dataclass(frozen=True)
class Literal:
    """A task with only the methods of the protocol, whose outputs are an array and whose prediction is a dict."""

    name: str = "mine"

    def head(self, spec):
        return len(spec.classes)

    def loss(self, logits, batch):
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["label"][:, None], 1)[:, 0]
        return -picked, jnp.ones(len(logits))

    def link(self, logits):
        return jax.nn.softmax(logits)

    def decode(self, outputs):
        return {"label": outputs.argmax(-1)}

    def rows(self, outputs, batch):
        return {"hit": outputs.argmax(-1) == batch["label"]}

    def summary(self, rows):
        return {"hits": rows["hit"].mean()}

    def figures(self, rows):
        return {}


def test_a_task_of_the_bare_protocol_trains_loads_predicts_samples_and_evaluates(small, tmp_path):
    trained = cnnlab.train(small, tmp_path / "run", task=Literal(), quiet=True)
    assert cnnlab.predict(trained, images(trained)).label.shape == (3,)
    mc = cnnlab.mc_predict(trained, images(trained), key=jax.random.key(0), num_samples=np.int64(3))
    assert mc.mean.shape == (3, 3)
    report = cnnlab.evaluate(trained, restore.load_data(tmp_path / "run"), figures=tmp_path / "figures")
    assert 0 <= report["hits"] <= 1
    assert cnnlab.load(tmp_path / "run", task=Literal()).task == Literal()
    with pytest.raises(ValueError, match="unknown task 'Literal'.*pass task="):
        cnnlab.load(tmp_path / "run")


def test_a_class_name_may_look_like_a_broken_formula(tmp_path):
    figure = confusion_matrix(np.eye(2, dtype=int), ["$5_$10", "a_{"])
    assert save_figures({"confusion": figure}, tmp_path)[0].stat().st_size > 1000


def test_a_logarithmic_axis_keeps_its_powers(tmp_path):
    figure = confusion_matrix(np.eye(2, dtype=int), ["a", "b"])
    axis = figure.add_axes([0.1, 0.1, 0.2, 0.2])
    axis.semilogy([1, 1000])
    for _ in range(2):  # the second call starts with existing labels
        save_figures({"powers": figure}, tmp_path)
    assert all(label.get_parse_math() for label in axis.get_yticklabels())


def test_a_unet_that_was_trained_before_it_could_interpolate_keeps_its_transposed_convolutions(tmp_path, monkeypatch):
    model = cnnlab.Choice("unet", width=2, depth=1, up="transposed")
    data = cnnlab.Choice("shapes", annotation="mask", size=16, train=8, validation=4, test=4)
    training = cnnlab.Training(epochs=1, batch_size=4)
    experiment = cnnlab.Experiment(model=model, data=data, task="segmentation", training=training)
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    stored = json.loads((tmp_path / "run/experiment.json").read_text())
    del stored["model"]["up"]
    (tmp_path / "run/experiment.json").write_text(json.dumps(stored))
    read = checkpoint.read_config
    monkeypatch.setattr(checkpoint, "read_config", lambda *place: read(*place) | {"experiment": stored})
    assert cnnlab.load(tmp_path / "run").network.up == "transposed"
    cnnlab.train(epochs(experiment, 2), tmp_path / "run", quiet=True)
