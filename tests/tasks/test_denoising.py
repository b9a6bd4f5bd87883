import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.data import Augmentation, augment, from_arrays
from cnnlab.data.augment import check_augmentation
from cnnlab.models import create_model
from cnnlab.tasks import Denoising, Regression

SMALL = cnnlab.Experiment(
    model=cnnlab.Choice("tcn_steps", features=8, dilations=(1, 2), dropout=0.1),
    task=cnnlab.Choice("denoising", kind="gaussian"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=0.01),
    training=cnnlab.Training(epochs=8, batch_size=16),
)


def noisy(n=160, steps=40, seed=0, noise=1.0):
    """Returns sines of many phases in volts, with noise and without, as a dataset."""
    rng = np.random.default_rng(seed)
    clean = 50 + 3 * np.sin(np.arange(steps) / 4 + rng.uniform(0, 7, (n, 1)))
    x = clean + noise * rng.normal(size=clean.shape)
    half = n // 2
    splits = {
        "train": {"image": x[:half], "clean": clean[:half]},
        "test": {"image": x[half:], "clean": clean[half:]},
    }
    return from_arrays(splits, values="signal", rate=8.0)


def test_the_loss_is_the_mean_over_the_steps_that_have_a_weight():
    task = Denoising(mean=(0.0,), std=(1.0,))
    clean = jnp.array([1.0, 2.0, 3.0, 100.0]).reshape(1, 1, 4, 1)
    batch = {"clean": clean, "pixel_weight": jnp.array([1.0, 1.0, 1.0, 0.0]).reshape(1, 1, 4)}
    value, weight = task.loss(jnp.zeros((1, 1, 4, 1)), batch)
    assert float(value[0]) == pytest.approx((1 + 4 + 9) / 3)
    assert float(weight[0]) == 0.75
    assert np.isfinite(task.loss(jnp.zeros((1, 1, 4, 1)), batch | {"pixel_weight": jnp.zeros((1, 1, 4))})[0]).all()


def test_the_scores_are_those_of_a_regression_of_the_known_steps():
    rng = np.random.default_rng(0)
    value, target, variance = rng.normal(size=(3, 2, 1, 5, 1))
    known = rng.random((2, 1, 5)) < 0.6
    rows = {"value": value, "target": target, "variance": variance**2, "known": known}
    flat = {name: rows[name][known] for name in ("value", "target", "variance")}
    task = Denoising(mean=(0.0,), std=(2.0,))
    assert task.summary(rows) == Regression().summary(flat)
    error = [np.abs(v - t)[k].mean() / 2 for v, t, k in zip(value, target, known, strict=True)]
    np.testing.assert_allclose(task.per_example(rows)["error"], error)


def test_means_and_deviations_are_those_of_the_known_steps():
    data = noisy()
    weight = np.zeros((len(data["train"]), 1, 40), np.float32)
    weight[..., :7] = 1
    train = dataclasses.replace(data["train"], columns=data["train"].columns | {"pixel_weight": weight})
    task = Denoising().resolve(dataclasses.replace(data, splits={"train": train}))
    known = train.column("clean")[:, 0, :7, 0].astype(np.float64)
    np.testing.assert_allclose((*task.mean, *task.std), (known.mean(), known.std()))


def test_a_network_learns_to_remove_noise_and_its_run_is_evaluated_by_its_path(tmp_path, unexplained, capsys):
    data = noisy()
    trained = cnnlab.train(SMALL, tmp_path / "run", data=data, quiet=True)
    report = cnnlab.evaluate(cnnlab.load(tmp_path / "run"), data, mc_samples=4, figures=tmp_path)
    assert report["rmse"] < 0.8  # of measurements 1
    assert 0.85 < report["coverage"] <= 1
    assert not unexplained("Regression", report)
    assert (tmp_path / "signals.png").stat().st_size > 1000
    x = np.asarray(data["test"].column("image"))[:2]
    again = cnnlab.predict(cnnlab.load(tmp_path / "run"), x).value
    np.testing.assert_allclose(again, cnnlab.predict(trained, x).value, rtol=1e-5)
    many = cnnlab.mc_predict(trained, x, key=jax.random.key(0), num_samples=4)
    assert many.variance["value"].shape == (2, 1, 40, 1)
    capsys.readouterr()
    assert main(["summary", str(tmp_path / "run")]) == 0
    assert "13 samples of a convolution's unit: 1.625 s at 8 Hz" in capsys.readouterr().out
    assert main(["summary", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["field_seconds"] == 1.625


def test_images_integers_and_gaps_are_refused_with_the_remedy():
    images = from_arrays({"train": {"image": np.zeros((20, 4, 4), np.uint8), "clean": np.zeros((20, 4, 4, 1))}})
    with pytest.raises(ValueError, match="--data.name signals"):
        Denoising().resolve(images)
    net = create_model("tcn_steps", num_classes=1, features=2, dilations=(1,))
    trained = cnnlab.Trained({}, net, Denoising(), noisy(20).spec)
    with pytest.raises(ValueError, match="astype"):
        cnnlab.predict(trained, np.zeros((1, 1, 40, 1), np.uint8))
    with pytest.raises(ValueError, match="fill gaps"):
        cnnlab.predict(trained, np.full((1, 1, 40, 1), np.nan, np.float32))


def test_augmentation_of_signals_may_only_reverse_time():
    spec = noisy(20).spec
    check_augmentation(spec, Augmentation(horizontal_flip=0.5))
    with pytest.raises(
        ValueError, match=r"leave --training.augmentation.brightness, --training.augmentation.shift out"
    ):
        check_augmentation(spec, Augmentation(brightness=0.1, shift=0.1))
    x = np.random.default_rng(0).normal(50, 9, (2, 1, 20, 1)).astype(np.float32)
    np.testing.assert_allclose(
        augment(x, jax.random.key(0), Augmentation(horizontal_flip=1.0)), x[:, :, ::-1], rtol=1e-5
    )
