import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.app.doubt import Familiar, fit_familiar, image_features, state, strangeness
from cnnlab.data import Examples
from cnnlab.training.restore import load_data

DIGITS = tuple("0123456789")
features_of = cnnlab.jit(image_features)


@pytest.mark.parametrize(
    ("mean", "deviation", "far", "kind", "words"),
    [
        ([0.02, 0.95, 0.03], [0.01, 0.02, 0.01], 0.5, "sure", "sure: a 1"),
        ([0.30, 0.10, 0.60], [0.05, 0.05, 0.05], 0.5, "probably", "probably a 2"),
        ([0.40, 0.05, 0.55], [0.10, 0.05, 0.10], 0.5, "torn", "torn between 2 and 0"),
        ([0.02, 0.95, 0.03], [0.01, 0.02, 0.01], 1.1, "strange", "never seen the like; if anything, a 1"),
        ([0.02, 0.95, 0.03], None, None, "sure", "sure: a 1"),
        ([0.5, 0.0, 0.5], None, 0.2, "torn", "torn between 2 and 0"),
    ],
)
def test_each_state_has_its_words(mean, deviation, far, kind, words):
    own = state(np.array(mean), None if deviation is None else np.array(deviation), far, DIGITS[:3])
    assert own == (kind, words)


def test_names_have_the_article_that_they_need():
    said = [state(np.eye(2)[0], None, None, (name, "9")).words for name in ("8", "7", "bag")]
    assert said == ["sure: an 8", "sure: a 7", "sure: bag"]


def test_strangeness_is_the_distance_to_the_nearest_image_by_the_limit():
    familiar = Familiar(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.float32(0.5))
    far = strangeness(familiar, jnp.array([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]]))
    np.testing.assert_allclose(far, [0, 2 * np.sqrt(0.4), 2 * np.sqrt(2)], atol=1e-6)


def test_one_in_a_hundred_validation_images_is_beyond_the_limit(run):
    trained, data = cnnlab.load(run), load_data(run)
    familiar = fit_familiar(trained, data["train"], data["validation"], share=0.75)
    far = np.asarray(strangeness(familiar, features_of(trained, data["validation"].column("image"))))
    assert np.mean(far > 1) == pytest.approx(0.25, abs=0.02)
    assert np.asarray(strangeness(familiar, features_of(trained, data["train"].column("image")))).max() < 1e-2


def test_the_features_of_a_convolutional_network_are_its_pooled_maps_and_of_a_dense_one_the_pixels(run):
    trained = cnnlab.load(run)
    images = np.random.default_rng(0).random((2, 16, 16, 1), np.float32)
    assert features_of(trained, images).shape == (2, 2 * 2 * 16)
    net = cnnlab.create_model("dense", num_classes=2)
    spec = cnnlab.InputSpec((16, 16), classes="ab")
    dense = cnnlab.Trained(net.init(jax.random.key(0), images), net, cnnlab.tasks.Classification(), spec)
    flat = images.reshape(2, -1)
    expected = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(features_of(dense, images), expected, atol=1e-6)


def test_more_images_than_a_batch_give_the_features_of_single_ones(run):
    trained = cnnlab.load(run)
    images = np.random.default_rng(1).integers(0, 256, (257, 16, 16, 1), np.uint8)
    familiar = fit_familiar(trained, Examples({"image": images}), Examples({"image": images[:5]}))
    np.testing.assert_allclose(familiar.features[256], features_of(trained, images[256:])[0], atol=1e-5)
