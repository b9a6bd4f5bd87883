import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import tasks
from cnnlab.uncertainty import DIHEDRAL, FLIPS, View, augmented_predict

IMAGES = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)


def trained(network, task, classes="abc", size=(8, 8)):
    spec = cnnlab.InputSpec(size, classes=tuple(classes))
    variables = network.init(jax.random.key(0), jnp.zeros((1, *spec.shape)))
    return cnnlab.Trained(variables, network, task, spec)


def pointwise():
    """1x1 convolutions: turning the image turns the answer."""
    return nn.Conv(3, (1, 1), bias_init=nn.initializers.normal())


class Corner(nn.Module):
    """Logits are the top left and the bottom right pixel: as far from equivariant as can be."""

    @nn.compact
    def __call__(self, x):
        return jnp.stack([x[:, 0, 0, 0], x[:, -1, -1, 0]], -1)


class Bright(nn.Module):
    """A detector whose box is its 4x4 cell's own, shifted within it by where the light lies."""

    @nn.compact
    def __call__(self, x):
        cells = x[..., 0].reshape(-1, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4)
        ramp = jnp.arange(4) - 1.5
        right, down = (cells * ramp).sum((3, 4)), (cells * ramp[:, None]).sum((3, 4))
        size = cells.sum((3, 4)) / 16
        return jnp.stack([right, down, size, size, size, size], -1)


def test_an_equivariant_segmentation_answers_the_same_over_all_views():
    network = trained(pointwise(), tasks.Segmentation())
    np.testing.assert_allclose(
        augmented_predict(network, IMAGES, views=DIHEDRAL).probs, cnnlab.predict(network, IMAGES).probs, atol=1e-6
    )


def test_an_equivariant_detector_answers_the_same_over_all_views():
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
