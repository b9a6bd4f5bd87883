import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab


def test_every_object_says_what_it_is_in_two_short_lines(run):
    trained, data = cnnlab.load(run), cnnlab.data.digits()
    images = np.zeros((2, 16, 16, 1), np.uint8)
    prediction, why = cnnlab.predict(trained, images), cnnlab.explain.grad_cam(trained, images, target=1)
    objects = (trained, trained.history, data, data["train"], prediction, why, cnnlab.summary("resnet50"))
    for text in map(repr, objects):
        assert len(text) <= 400, text
        assert text.count("\n") == 1, text
    assert re.match(
        r"Trained LeNet5, [\d,]+ parameters, for classification\n  images 16×16×1, 3 classes", repr(trained)
    )


def test_many_classes_with_long_names_do_not_lengthen_a_repr():
    names = [f"species {n} with a long name" for n in range(1000)]
    spec = cnnlab.InputSpec((8, 8), classes=tuple(names))
    assert len(repr(cnnlab.Dataset("d" * 500, spec, {}))) <= 400


def test_printing_a_summary_prints_its_table_and_a_notebook_shows_it():
    layers = cnnlab.summary("lenet5")
    assert "conv2  Conv     10×10×16    5×5" in str(layers)
    assert layers._repr_html_().startswith("<pre>lenet5")


def test_the_rooms_list_their_public_names_alone():
    for room in (cnnlab.data, cnnlab.training, cnnlab.tasks, cnnlab.explain, cnnlab.models):
        assert sorted(dir(room)) == sorted(room.__all__)


def test_the_logits_of_a_network_can_be_differentiated_by_images_and_parameters(run):
    trained, images = cnnlab.load(run), jax.random.uniform(jax.random.key(0), (2, 16, 16, 1))
    by_pixel = jax.grad(lambda x: trained.apply(x)[:, 1].sum())(images)
    bump = jnp.zeros_like(images).at[0, 8, 8, 0].set(1e-3)
    slope = (trained.apply(images + bump) - trained.apply(images - bump))[0, 1] / 2e-3
    assert float(by_pixel[0, 8, 8, 0]) == pytest.approx(float(slope), rel=0.05, abs=1e-3)


def test_a_history_is_a_dict_of_columns_and_is_lost_when_the_network_changes(run):
    trained = cnnlab.load(run)
    assert trained.history["epoch"].tolist() == [1]
    assert "<th>validation_accuracy</th>" in trained.history._repr_html_()
    with pytest.raises(ValueError, match="only a network that train or load returned"):
        trained.replace(variables={}).history  # noqa: B018


def test_an_unknown_name_of_a_part_of_an_experiment_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown model 'lenet'; did you mean 'lenet5'"):
        cnnlab.Experiment(model="lenet")


def test_a_pair_of_arrays_is_a_training_split():
    images = np.zeros((20, 8, 8), np.uint8)
    data = cnnlab.data.from_arrays((images, np.arange(20) % 2))
    assert data["train"].column("label").shape == (18,)
    assert len(data["validation"]) == 2
    assert "target" in cnnlab.data.from_arrays((images, np.linspace(0, 1, 20)))["train"].columns
    with pytest.raises(ValueError, match=r"must be \[n\] in a pair"):
        cnnlab.data.from_arrays((images, np.zeros((20, 2), int)))
