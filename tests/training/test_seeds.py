import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.training.run import read_history


def over(experiment, **training):
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, **training))


def test_seeds_trained_together_equal_seeds_trained_alone(small, tmp_path):
    experiment = dataclasses.replace(small, optimizer=cnnlab.Optimizer(name="sgd", learning_rate=0.05))
    both = cnnlab.train_seeds(experiment, tmp_path, seeds=2, together=True, quiet=True)
    for seed, one in enumerate(both):
        alone = cnnlab.train(dataclasses.replace(experiment, seed=seed), tmp_path / f"alone{seed}", quiet=True)
        for mine, its in zip(jax.tree.leaves(one.variables), jax.tree.leaves(alone.variables), strict=True):
            np.testing.assert_allclose(mine, its, atol=1e-5)
    first, second = (one.variables["params"]["dense3"]["kernel"] for one in both)
    assert abs(first - second).max() > 1e-3


def test_a_run_of_several_seeds_is_extended_together_and_goes_on_alone(small, tmp_path, monkeypatch):
    for epochs in (1, 2):
        cnnlab.train_seeds(over(small, epochs=epochs), tmp_path, seeds=2, together=True, quiet=True)
    assert [row["epoch"] for row in read_history(tmp_path / "seed1")] == [1, 2]
    cnnlab.train(dataclasses.replace(over(small, epochs=3), seed=1), tmp_path / "seed1", quiet=True)
    with pytest.raises(ValueError, match=r"the runs are at the steps \[6, 9\]"):
        cnnlab.train_seeds(over(small, epochs=3), tmp_path, seeds=2, together=True, quiet=True)
    monkeypatch.setattr("cnnlab.training.seeds.jax.default_backend", lambda: "gpu")
    assert len(cnnlab.train_seeds(over(small, epochs=3), tmp_path, seeds=2, quiet=True)) == 2  # in turn
    assert [len(read_history(tmp_path / f"seed{n}")) for n in range(2)] == [3, 3]


def test_the_command_prints_mean_and_standard_deviation_over_seeds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = [f"--data.{name}" for name in ("name=shapes", "size=16", "train=64", "validation=16", "test=20")]
    options = ["--training.epochs=1", "--training.seeds=2", "--run-dir=here", "--json"]
    assert main(["train", *data, *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["seeds"] == 2
    assert report["accuracy_sd"] >= 0
    assert json.loads((tmp_path / "here/summary.json").read_text()) == report
    assert {path.suffix for path in (tmp_path / "here").glob("summary.*")} == {".json", ".csv", ".png"}
    assert main(["evaluate", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == report["accuracy"]
    assert main(["evaluate", "here", "--ensemble", "--json"]) == 0
    assert "mutual_information" in json.loads(capsys.readouterr().out)
    assert main(["evaluate", "here", "--predictions", "test.csv"]) == 2
    Image.new("L", (16, 16), 80).save("photo.png")
    assert main(["predict", "here", "photo.png", "--output", "out"]) == 0
    assert "mutual_information" in (tmp_path / "out/predictions.json").read_text()


def test_several_seeds_in_a_single_run_are_refused(small, tmp_path):
    with pytest.raises(ValueError, match="2 seeds make as many networks"):
        cnnlab.train(over(small, seeds=2), tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match="patience and callbacks stop each seed"):
        cnnlab.train_seeds(over(small, patience=1), tmp_path, seeds=2, together=True, quiet=True)


def test_several_processes_do_not_train_seeds_together(small, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="several processes train one seed after the other"):
        cnnlab.train_seeds(small, tmp_path, seeds=2, together=True, quiet=True)
