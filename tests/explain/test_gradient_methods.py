"""Gradients by hand: a network of two pixels, whose derivatives are known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import relu

from cnnlab import Trained, explain
from cnnlab.data import InputSpec
from cnnlab.explain import targets
from cnnlab.tasks import Classification


class TwoPixels(nn.Module):
    """y = relu(2 a - b), and a second class 3 b."""

    @nn.compact
    def __call__(self, x):
        a, b = x[:, 0, 0, 0], x[:, 0, 1, 0]
        return jnp.stack([relu(2 * a - b), 3 * b], -1) * self.param("one", nn.initializers.ones, ())


def network(module=None, size=(1, 2), channels=1, **spec):
    module = module or TwoPixels()
    x = jnp.zeros((1, *size, channels))
    return Trained(module.init(jax.random.key(0), x), module, Classification(), InputSpec(size, channels, **spec))


TRAINED = network(classes="ab")
IMAGES = jnp.array([[0.75, 0.5], [0.25, 1.0]]).reshape(2, 1, 2, 1)  # 2 a - b = 1, and -0.5: the ReLU is closed


@pytest.mark.filterwarnings("ignore:the map of image 1 is zero everywhere")
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (explain.saliency, [[2, 1], [0, 0]]),
        (explain.input_x_gradient, [[1.5, -0.5], [0, 0]]),
        (explain.guided_backpropagation, [[2, -1], [0, 0]]),
        (explain.deconvolution, [[2, -1], [2, -1]]),  # the closed ReLU passes a positive gradient
    ],
)
def test_a_map_of_two_pixels_is_the_one_computed_by_hand(method, expected):
    np.testing.assert_allclose(method(TRAINED, IMAGES, target=0).map[:, 0], expected, atol=1e-6)


def test_integrated_gradients_follow_the_line_from_the_baseline():
    # From (0, 0) to (.75, .5) the ReLU is open: gradients (2, -1). From (0, 1) it opens at half of the way.
    zero = explain.integrated_gradients(TRAINED, IMAGES[:1], target=0, baseline=0.0)
    np.testing.assert_allclose(zero.map[0, 0], [1.5, -0.5], atol=1e-5)
    np.testing.assert_allclose(zero.verdict["completeness_gap"], [0], atol=1e-5)
    other = explain.integrated_gradients(TRAINED, IMAGES[:1], target=0, baseline=jnp.array([[[0.0], [1.0]]]), steps=500)
    np.testing.assert_allclose(other.map[0, 0], [0.75, 0.25], atol=2e-3)


def test_completeness_fails_by_the_stated_gap():
    result = explain.integrated_gradients(TRAINED, IMAGES[:1], target=0, baseline=jnp.array([[[0.0], [1.0]]]), steps=3)
    np.testing.assert_allclose(result.verdict["completeness_gap"], abs(result.map.sum() - 1.0), atol=1e-6)


def test_smooth_grad_of_a_linear_class_is_its_gradient():
    np.testing.assert_allclose(explain.smooth_grad(TRAINED, IMAGES, target=1).map[:, 0], [[0, 3], [0, 3]], atol=1e-5)


def test_gradients_are_those_by_the_normalised_image():
    trained = network(classes="ab", mean=(0.5,), std=(0.25,))  # 2 a - b = 2, of which pixels are 1 and 0
    np.testing.assert_allclose(explain.input_x_gradient(trained, IMAGES[:1], target=0).map[0, 0], [2, 0], atol=1e-6)


def test_channels_are_reduced_by_the_largest_size_or_by_the_sum():
    class Colours(nn.Module):
        @nn.compact
        def __call__(self, x):
            return (
                (x * jnp.array([1.0, -3.0, 2.0])).sum((1, 2))
                @ jnp.ones((3, 2))
                * self.param("one", nn.initializers.ones, ())
            )

    trained, image = network(Colours(), (1, 1), 3, classes="ab"), jnp.ones((1, 1, 1, 3))
    assert explain.saliency(trained, image, target=0).map.item() == 3
    assert explain.input_x_gradient(trained, image, target=0).map.item() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 2}, "target must lie in 0..1 for 2 classes, found 2"),
        ({"target": "c"}, "unknown target 'c'"),
        ({"target": [0, 1, 0]}, "one number for each of the 2 images"),
        ({"target": lambda logits: logits}, r"must return one value an image, \[2\]"),
        ({"layer": "conv1"}, "reads no layer"),
        ({"mc_samples": 4}, "no dropout is active"),
        ({"mc_samples": -1}, "mc_samples must be 0 or more"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        explain.saliency(TRAINED, IMAGES, **options)


@pytest.mark.parametrize(
    ("baseline", "message"), [(2.0, r"must lie in \[0, 1\]"), (np.zeros((2, 2, 1)), "baseline must be a number")]
)
def test_a_baseline_that_does_not_fit_is_named(baseline, message):
    with pytest.raises(ValueError, match=message):
        explain.integrated_gradients(TRAINED, IMAGES, target=0, baseline=baseline)


def test_a_saturated_network_has_an_empty_map_and_a_warning():
    with pytest.warns(UserWarning, match="the map of image 1 is zero everywhere"):
        result = explain.saliency(TRAINED, IMAGES, target=0)
    assert not result.map[1].any()
    assert np.isfinite(result.map).all()


def test_a_margin_is_explained_by_the_difference_of_gradients():
    result = explain.input_x_gradient(TRAINED, IMAGES[:1], targets.margin(1, 0))
    np.testing.assert_allclose(result.map[0, 0], [-1.5, 2.0], atol=1e-6)
    np.testing.assert_allclose(explain.input_x_gradient(TRAINED, IMAGES[:1], "b-a").map, result.map, atol=1e-6)


def test_a_map_and_the_value_that_it_explains_need_one_trace_of_the_network():
    traced = []

    class Noted(TwoPixels):
        @nn.compact
        def __call__(self, x):
            traced.append(x.shape)
            return super().__call__(x)

    trained = network(Noted(), classes="ab")
    traced.clear()
    result = explain.saliency(trained, IMAGES, target=1)
    assert traced == [(1, 1, 2, 1), IMAGES.shape]  # its layers and the shape of its logits, then the gradient
    assert result.target.tolist() == [1.5, 3.0]
