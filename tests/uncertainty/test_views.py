import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import tasks
from cnnlab.training.restore import load_data
from cnnlab.uncertainty import DIHEDRAL, FLIPS, View, augmented_predict

IMAGES = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)


def trained(network, task, classes="abc", size=(8, 8)):
    spec = cnnlab.InputSpec(size, classes=tuple(classes))
    variables = network.init(jax.random.key(0), jnp.zeros((1, *spec.shape)))
    return cnnlab.Trained(variables, network, task, spec)


def pointwise():
    """Creates a network of 1x1 convolutions, whose prediction turns with the image."""
    return nn.Conv(3, (1, 1), bias_init=nn.initializers.normal())


class Corner(nn.Module):
    """A network whose logits are the top left and the bottom right pixel, which is far from equivariant."""

    @nn.compact
    def __call__(self, x):
        return jnp.stack([x[:, 0, 0, 0], x[:, -1, -1, 0]], -1)


class Bright(nn.Module):
    """A detector that predicts a box in each 4x4 cell, shifted towards the bright pixels."""

    @nn.compact
    def __call__(self, x):
        cells = x[..., 0].reshape(-1, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4)
        ramp = jnp.arange(4) - 1.5
        right, down = (cells * ramp).sum((3, 4)), (cells * ramp[:, None]).sum((3, 4))
        size = cells.sum((3, 4)) / 16
        return jnp.stack([right, down, size, size, size, size], -1)


def test_an_equivariant_segmentation_predicts_the_same_over_all_views():
    network = trained(pointwise(), tasks.Segmentation())
    np.testing.assert_allclose(
        augmented_predict(network, IMAGES, views=DIHEDRAL).probs, cnnlab.predict(network, IMAGES).probs, atol=1e-6
    )


def test_an_equivariant_detector_predicts_the_same_over_all_views():
    network = trained(Bright(), tasks.Detection(image_size=(8, 8), boxes_per_cell=1), classes="a")
    plain, averaged = cnnlab.predict(network, IMAGES), augmented_predict(network, IMAGES, views=DIHEDRAL)
    np.testing.assert_allclose(averaged.boxes, plain.boxes, atol=1e-5)
    np.testing.assert_allclose(averaged.score, plain.score, atol=1e-6)


def test_a_classifier_is_averaged_over_its_views():
    network = trained(Corner(), tasks.Classification(), classes="ab")
    probs = augmented_predict(network, IMAGES, views=FLIPS).probs
    x = IMAGES[..., 0]
    views = np.array([[x[:, 0, 0], x[:, 7, 7]], [x[:, 0, 7], x[:, 7, 0]]])
    np.testing.assert_allclose(probs, (np.exp(views) / np.exp(views).sum(1, keepdims=True)).mean(0).T, rtol=1e-5)


def test_oblong_images_are_not_turned_by_quarters():
    network = trained(pointwise(), tasks.Segmentation(), size=(4, 8))
    image = IMAGES[:, :4]
    augmented_predict(network, image, views=[View(), View(True, 2)])
    with pytest.raises(ValueError, match="needs square images, found 4x8"):
        augmented_predict(network, image, views=[View(turns=1)])
    with pytest.raises(ValueError, match="one view or more"):
        augmented_predict(network, image, views=[])


def test_evaluate_averages_over_the_views_of_each_example(run):
    examples = load_data(run)["test"][np.arange(40)]
    right = augmented_predict(cnnlab.load(run), examples["image"]).label == examples["label"]
    assert cnnlab.evaluate(run, views="flips")["accuracy"] == pytest.approx(float(right.mean()))


@pytest.mark.parametrize("other", [{"mc_samples": 2}, {"calibrate": "temperature"}, {"conformal": 0.1}])
def test_views_and_another_way_to_predict_are_refused_together(run, other):
    with pytest.raises(ValueError, match="views"):
        cnnlab.evaluate(run, views="flips", **other)


def test_an_unknown_set_of_views_is_named(run):
    with pytest.raises(ValueError, match="unknown set of views 'flip'; did you mean 'flips'"):
        cnnlab.evaluate(run, views="flip")
