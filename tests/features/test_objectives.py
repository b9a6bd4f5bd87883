"""Objectives of synthetic images, by the values that they give to an image."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, create_model
from cnnlab.data import InputSpec
from cnnlab.explain import targets
from cnnlab.features.objectives import check_shape, choose_targets, values_of
from cnnlab.tasks import Classification, Detection, Segmentation


@functools.cache
def network(name, size, channels, task):
    spec = InputSpec(size, channels, classes="ab")
    options = {"width": 2, "depth": 1} if name == "unet" else {}
    module = create_model(name, num_classes=task.head(spec), **options)
    x = jax.random.uniform(jax.random.key(1), (3, *size, channels))
    return Trained(module.init(jax.random.key(0), x), module, task, spec), x


LENET = ("lenet5", (28, 28), 1, Classification())


def value(target, *case):
    trained, x = network(*(case or LENET))
    return np.asarray(values_of(trained, choose_targets(trained, target, x.shape[1:]), x))


def logits(*case):
    trained, x = network(*(case or LENET))
    return np.asarray(trained.network.apply(trained.variables, x))


@pytest.mark.parametrize("target", ["b", 1, targets.class_logit(1), lambda logits: logits[:, 1]])
def test_a_class_is_its_logit_by_name_number_target_or_function(target):
    np.testing.assert_allclose(value(target), logits()[:, 1], rtol=1e-5)


def test_a_list_is_the_sum_of_its_targets():
    expected = 3 * logits()[:, 0] + logits()[:, 1]
    np.testing.assert_allclose(value([lambda logits: 3 * logits[:, 0], "b"]), expected, rtol=1e-5, atol=1e-6)


def test_a_margin_is_a_difference_of_logits():
    np.testing.assert_allclose(value("b-a"), logits()[:, 1] - logits()[:, 0], rtol=1e-4, atol=1e-6)


def test_a_unit_is_the_direction_of_its_axis():
    trained, _ = network(*LENET)
    unit = value(targets.unit(trained, "conv2", 3))
    along = value(targets.direction(trained, "conv2", jnp.eye(16)[3]))
    np.testing.assert_allclose(unit, along, rtol=1e-5)
    both = value([targets.unit(trained, "conv2", 3), targets.unit(trained, "conv1", 2)])
    np.testing.assert_allclose(both, unit + value(targets.unit(trained, "conv1", 2)), rtol=1e-5, atol=1e-6)


def test_a_class_of_a_segmentation_is_its_mean_logit_over_all_pixels():
    case = ("unet", (16, 16), 3, Segmentation())
    np.testing.assert_allclose(value("b", *case), logits(*case)[..., 1].mean((1, 2)), rtol=1e-4, atol=1e-6)


def test_a_class_of_a_detection_is_the_score_of_one_box():
    case = ("grid_detector", (32, 32), 3, Detection(image_size=(32, 32)))
    scores = value(1, *case)
    assert scores.shape == (3,)
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_a_size_that_the_network_refuses_is_named_with_its_reason():
    message = r"take images of 7x6 pixels: height and width must be .*, found 7x6; its training images have 8x8"
    with pytest.raises(ValueError, match=message):
        check_shape(network("encoder_decoder", (8, 8), 1, Segmentation())[0], (7, 6, 1))
