import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import data
from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.tasks import Prediction, Scoring
from cnnlab.training.plan import build_task, make_plan


def brightness(n, seed, *, pairs=48):
    """Returns pairs of n grey noisy images, the brighter one above."""
    rng = np.random.default_rng(seed)
    grey = rng.permutation(np.linspace(30, 220, n))
    images = np.clip(grey[:, None, None] + rng.normal(0, 10, (n, 12, 12)), 0, 255).astype(np.uint8)
    chosen = np.array([rng.choice(n, 2, replace=False) for _ in range(pairs)])
    above = grey[chosen] > grey[chosen[:, ::-1]]
    columns = {"image": images[chosen.ravel()], "pair": np.repeat(np.arange(pairs), 2)}
    return columns | {"above": above.ravel().astype(int), "photo": chosen.ravel()}


@pytest.fixture(scope="module")
def pairs():
    splits = {split: brightness(24, seed) for seed, split in enumerate(("train", "validation", "test"))}
    return data.from_arrays(splits, classes=("score",), name="grey")


@pytest.fixture
def experiment(small):
    training = cnnlab.Training(epochs=12, batch_size=16)
    return dataclasses.replace(
        small, model=cnnlab.Choice("dense", dropout=0.05), task=cnnlab.Choice("scoring"), training=training
    )


def test_a_network_learns_that_the_brighter_image_is_above(pairs, experiment, tmp_path, unexplained):
    trained = cnnlab.train(experiment, tmp_path / "run", data=pairs, quiet=True)
    report = cnnlab.evaluate(trained, pairs, mc_samples=4, details=True, figures=tmp_path)
    assert report["pairwise_accuracy"] == 1
    assert report["pairwise_accuracy_low"] > 0.7
    assert (report["pairs"], report["examples"]) == (48, 96)
    assert not unexplained("Scoring", report)
    assert (tmp_path / "order.png").exists()
    grey = np.linspace(30, 220, 6)[:, None, None, None] * np.ones((1, 12, 12, 1))
    assert (np.diff(cnnlab.predict(trained, grey.astype(np.uint8)).score) > 0).all()


def test_a_resumed_run_takes_the_same_batches(pairs, experiment, tmp_path):
    for place, numbers in {"pieces": (1, 2), "once": (2,)}.items():
        for number in numbers:
            training = dataclasses.replace(experiment.training, epochs=number)
            cnnlab.train(dataclasses.replace(experiment, training=training), tmp_path / place, data=pairs, quiet=True)
    one, other = (cnnlab.load(tmp_path / name, step="latest").variables for name in ("pieces", "once"))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_both_images_share_the_loss_of_their_pair():
    batch = {"pair": jnp.array([7, 7, 9, 9]), "above": jnp.array([1, 0, 0, 1])}
    value, weight = Scoring(margin=0.5).loss(jnp.array([[0.3], [0.1], [2.0], [-1.0]]), batch)
    np.testing.assert_allclose(value, [0.3, 0.3, 3.5, 3.5], rtol=1e-6)  # .5 - .2, and .5 + 3
    assert weight.tolist() == [1, 1, 1, 1]


def test_images_without_their_partner_and_rows_that_fill_a_batch_have_no_weight():
    batch = {"pair": jnp.array([1, 1, 2, 3, 3]), "above": jnp.array([1, 0, 1, 1, 0])}
    batch["weight"] = jnp.array([1.0, 1, 1, 1, 0])
    assert Scoring().loss(jnp.zeros((5, 1)), batch)[1].tolist() == [1, 1, 0, 0, 0]


def test_no_even_batch_divides_a_pair(pairs):
    order = data.epoch_order(pairs["train"], 10, seed=0, epoch=1, images_per_class=2, group_by="pair")
    pair = pairs["train"].column("pair")[order].reshape(len(order), 5, 2)
    assert (pair[..., 0] == pair[..., 1]).all()
    assert len(np.unique(pair)) == 45  # of 48 pairs nine batches


def test_an_odd_batch_is_refused(pairs, experiment):
    odd = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, batch_size=9))
    with pytest.raises(ValueError, match="batches of 9 images would divide a pair of 2; set --training.batch-size 8"):
        make_plan(odd, data=pairs)


@pytest.mark.parametrize("above", [[1, 0, 1, 1], [1, 0, 0, 0], [1, 0, 1, 0, 1]])
def test_a_pair_that_is_not_complete_is_refused(above):
    columns = {"image": np.zeros((len(above), 8, 8), np.uint8), "above": np.array(above)}
    columns["pair"] = np.array([3, 3, 5, 5, 5])[: len(above)]
    splits = data.from_arrays({"train": columns, "validation": columns}, name="grey")
    with pytest.raises(ValueError, match="pair 5 of the train split of grey has"):
        build_task(None, splits, Scoring())


def test_scores_of_a_bootstrap_sample_count_each_row_above_with_each_below():
    rows = {"value": np.array([3.0, 3.0, 1.0, 0.0, 2.0]), "pair": np.array([4, 4, 4, 6, 8])}
    rows["above"] = np.array([1, 1, 0, 1, 0])
    assert Scoring().summary(rows) == {"pairwise_accuracy": 1, "kendall_tau": 1}  # pairs 6 and 8 lack a row
    assert np.isnan(Scoring().summary({name: part[3:] for name, part in rows.items()})["kendall_tau"])


def test_each_example_has_the_lead_of_its_pair():
    rows = {"value": np.array([1.0, 3.0, 2.5, 2.0]), "pair": np.array([0, 1, 0, 1]), "above": np.array([1, 0, 0, 1])}
    table = Scoring().per_example(rows)
    assert table["lead"].tolist() == [-1.5, -1, -1.5, -1]
    assert table["truth"].tolist() == ["above", "below", "below", "above"]
    assert not table["right"].any()


def test_predictions_are_ranked_and_say_their_deviation():
    task, spec = Scoring(), InputSpec((4, 4), 1, (0.5,), (0.5,), ("score",))
    records = []
    for name, score in (("a.png", -1.0), ("b.png", 2.0)):
        prediction = Prediction(score=np.float32(score), mean=np.float32(score), variance=np.float32(0.25))
        records += task.record(prediction, spec, Photo(Path(name)))
    first, second = task.document(records)["predictions"]
    assert first == {"rank": 1, "file": "b.png", "score": 2.0, "deviation": 0.5}
    assert (second["rank"], second["file"]) == (2, "a.png")


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ValueError, match="margin must be above 0, or equal scores cost nothing; found 0"):
        Scoring(margin=0.0)
