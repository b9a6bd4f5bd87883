import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.data import InputSpec
from cnnlab.embeddings import extract
from cnnlab.models import create_model
from cnnlab.tasks import Classification
from cnnlab.trained import Trained

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def trained():
    net = create_model("lenet5", num_classes=2)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    return Trained(variables, net, Classification(), InputSpec((28, 28), classes="ab"))


def test_default_features_times_the_last_kernel_are_the_logits(trained):
    last = trained.variables["params"]["dense3"]
    features = extract(trained, IMAGES, batch_size=2)
    np.testing.assert_allclose(features @ last["kernel"] + last["bias"], trained.apply(IMAGES), rtol=1e-4, atol=1e-5)


def test_features_of_a_convolution_are_averages_over_places(trained):
    kernel = trained.variables["params"]["conv1"]["kernel"]
    zero = trained.replace(variables=jax.tree.map(jnp.zeros_like, trained.variables))
    assert kernel.shape[-1] == extract(trained, IMAGES, layer="conv1").shape[1]
    assert not extract(zero, IMAGES, layer="conv1").any()


def test_pixels_are_features_in_0_to_1(trained):
    np.testing.assert_allclose(extract(trained, IMAGES, layer="pixels"), IMAGES.reshape(5, -1) / 255, rtol=1e-6)


def test_a_layer_that_is_not_there_is_named(trained):
    with pytest.raises(ValueError, match="conv11"):
        extract(trained, IMAGES, layer="conv11")


def test_no_images_are_refused(trained):
    with pytest.raises(ValueError, match="hold no example"):
        extract(trained, IMAGES[:0])
