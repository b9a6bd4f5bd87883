"""Ensembles: the mean over members, compared with NumPy."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.evaluation.figures import save_example
from cnnlab.files.images import read_pixels
from cnnlab.tasks import Classification
from cnnlab.uncertainty import ensemble_predict


def member(seed, model="linear", **spec):
    network = cnnlab.create_model(model, num_classes=3)
    spec = cnnlab.InputSpec(**{"size": (16, 16), "classes": ("a", "b", "c")} | spec)
    variables = network.init(jax.random.key(seed), jnp.zeros((1, *spec.shape)))
    return cnnlab.Trained(variables, network, Classification(), spec)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 16, 16, 1), np.float32)


def test_the_prediction_is_the_mean_over_members_of_any_architecture(images):
    members = [member(0), member(1), member(2, "lenet5")]
    prediction = ensemble_predict(members, images)
    probs = np.stack([np.asarray(cnnlab.predict(trained, images).probs, np.float64) for trained in members])
    np.testing.assert_allclose(prediction.mean, probs.mean(0), atol=1e-6)
    np.testing.assert_allclose(prediction.variance, probs.var(0), atol=1e-6)
    assert prediction.label.tolist() == probs.mean(0).argmax(-1).tolist()
    total = -(probs.mean(0) * np.log(probs.mean(0))).sum(-1)
    expected = -(probs * np.log(probs)).sum(-1).mean(0)
    np.testing.assert_allclose(prediction.mutual_information, total - expected, atol=1e-5)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (lambda: [], "one network or more, found none"),
        (lambda: [member(0), member(1, size=(8, 8))], "must share their images: 1 has .16, 16, 1., 2 .8, 8, 1."),
        (lambda: [member(0), member(1, classes=("a", "b", "d"))], "must share their classes"),
        (lambda: [member(0), member(1).replace(task=Classification(label_smoothing=0.1))], "must share their task"),
    ],
)
def test_members_that_do_not_fit_together_raise_an_error(members, message, images):
    with pytest.raises(ValueError, match=message):
        ensemble_predict(members(), images)


def test_predict_averages_the_predictions_of_several_runs(run, small, tmp_path, capsys):
    cnnlab.train(dataclasses.replace(small, seed=1), tmp_path / "other", quiet=True)
    photo = str(tmp_path / "photo.png")
    save_example(cnnlab.data.shapes(size=16, train=4, validation=4, test=4), tmp_path / "photo.png")
    assert main(["predict", str(run), str(tmp_path / "other"), photo]) == 0
    (record,) = json.loads(capsys.readouterr().out)["predictions"]
    members = [cnnlab.load(path) for path in (run, tmp_path / "other")]
    each = [
        np.asarray(cnnlab.predict(m, read_pixels(photo, **m.spec.layout)[None]).probs[0], np.float64) for m in members
    ]
    assert list(record["probs"].values()) == pytest.approx(np.mean(each, 0))
    assert record["mutual_information"] > 0
    assert main(["predict", str(run), str(tmp_path / "other"), photo, "--mc", "3"]) == 2
    assert "leave out --mc and --calibrated" in capsys.readouterr().err


def test_an_evaluation_of_several_runs_is_that_of_their_mean(run, small, tmp_path):
    cnnlab.train(dataclasses.replace(small, seed=1), tmp_path / "other", quiet=True)
    report = cnnlab.evaluate([run, tmp_path / "other"])
    members = [cnnlab.load(path) for path in (run, tmp_path / "other")]
    test = cnnlab.training.restore.load_data(run)["test"]
    guess = np.asarray(ensemble_predict(members, test.column("image")).label)
    assert report["accuracy"] == pytest.approx((guess == test.column("label")).mean())
    assert 0 < report["mutual_information"] < report["entropy"]
