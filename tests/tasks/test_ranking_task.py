import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.tasks import Ranking
from cnnlab.training.plan import build_task, make_plan


def dataset(train, validation=(0, 0, 1, 1)):
    splits = {
        split: {"image": np.zeros((len(label), 8, 8), np.uint8), "label": np.array(label)}
        for split, label in {"train": train, "validation": validation}.items()
    }
    return cnnlab.data.from_arrays(splits, classes=("a", "b", "c", "d"), name="photos")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [1, 1, 1]}, "the train split of photos has one class"),
        ({"train": [0, 1, 2]}, "the train split of photos has one image of each class"),
        ({"train": [0, 0, 1], "validation": [0, 1]}, "the validation split of photos has one image of each class"),
    ],
)
def test_data_without_a_triplet_is_refused_before_the_first_step(splits, message):
    with pytest.raises(ValueError, match=message):
        build_task(None, dataset(**splits), Ranking())


def test_a_batch_too_small_for_two_classes_is_refused(small):
    training = dataclasses.replace(small.training, batch_size=6)
    experiment = dataclasses.replace(small, task=cnnlab.Choice("ranking"), training=training)
    with pytest.raises(ValueError, match=r"a batch of 6 images cannot hold 4 of each of two .*batch-size 8 or more"):
        make_plan(experiment)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.0}, "margin must be above 0, or all embeddings become one point; found 0"),
        ({"triplets": "hard"}, "triplets must be all or semi_hard, found 'hard'"),
        ({"images_per_class": 1}, "images_per_class must be 2 or more, found 1"),
        ({"size": 1}, "size must be 2 or more, found 1"),
    ],
)
def test_wrong_settings_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        Ranking(**options)


def test_rows_that_fill_a_batch_change_no_loss():
    task, logits = Ranking(margin=1.0), jax.random.normal(jax.random.key(0), (6, 3))
    label = jnp.array([0, 0, 1, 1, 1, 1])
    real, _ = task.loss(logits[:4], {"label": label[:4]})
    value, weight = task.loss(logits, {"label": label, "weight": jnp.array([1.0, 1, 1, 1, 0, 0])})
    np.testing.assert_allclose(value[:4], real, rtol=1e-6)
    assert weight.tolist() == [1, 1, 1, 1, 0, 0]


def test_embeddings_have_length_one_also_as_a_mean_of_passes():
    task = Ranking()
    np.testing.assert_allclose(task.link(jnp.array([[3.0, 4.0]]))["embedding"], [[0.6, 0.8]], rtol=1e-6)
    mean = task.decode({"embedding": jnp.array([[0.3, 0.4]])})
    np.testing.assert_allclose(mean.embedding, [[0.6, 0.8]], rtol=1e-6)
    gradient = jax.grad(lambda x: task.link(x)["embedding"].sum())(jnp.zeros((1, 2)))
    assert np.isfinite(gradient).all()


def test_classes_and_examples_have_their_own_scores():
    # on the circle a a b a b: the nearest of each is the one a tenth away
    angles = np.array([0.0, 0.1, 1.0, 1.1, 2.05])
    rows = {
        "embedding": np.stack([np.cos(angles), np.sin(angles)], 1),
        "label": np.array([0, 0, 1, 0, 1]),
        "class_names": ("a", "b", "c"),
    }
    table = Ranking().per_example(rows)
    assert table["prediction"].tolist() == ["a", "a", "a", "b", "a"]
    assert table["correct"].tolist() == [True, True, False, False, False]
    a, b = Ranking().details(rows)["classes"]  # no image of c
    assert (a["class"], a["examples"], a["recall_at_1"]) == ("a", 3, pytest.approx(2 / 3))
    assert b["recall_at_1"] == 0
    assert b["ap"] == pytest.approx((1 / 4 + 1 / 2) / 2)  # fourth after three of a, second after one


def test_examples_that_stay_on_the_device_are_grouped_as_those_that_are_sent(small, tmp_path):
    experiment = dataclasses.replace(
        small,
        model=cnnlab.Choice("linear"),
        task=cnnlab.Choice("ranking", size=4),
        optimizer=cnnlab.Optimizer(name="sgd", learning_rate=0.05),
    )
    resident = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, resident=True))
    losses = [
        cnnlab.train(each, tmp_path / name, quiet=True).history["loss"]
        for name, each in {"sent": experiment, "resident": resident}.items()
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
