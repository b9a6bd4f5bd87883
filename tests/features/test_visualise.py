"""Feature visualisation of networks whose optima are known."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, create_model
from cnnlab.data import InputSpec
from cnnlab.features import visualise
from cnnlab.tasks import Classification, Segmentation

STILL = {"jitter": 0, "rotation": 0.0, "scale": 0.0}


class OneKernel(nn.Module):
    """A convolution over the whole image, whose kernel is the optimum, and a unit that never fires."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(2, x.shape[1:3], padding="VALID", use_bias=False, name="conv")(x)
        return nn.relu(Dead(name="dead")(x)).mean((1, 2))


class Dead(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(x - jnp.array([0.0, 1e6]))


def network(module, size, channels=1, task=None, **spec):
    x = jnp.zeros((1, *size, channels))
    spec = InputSpec(size, channels, **{"classes": "ab"} | spec)
    return Trained(module.init(jax.random.key(0), x), module, task or Classification(), spec)


@functools.cache
def lenet():
    return network(create_model("lenet5", num_classes=2), (28, 28), mean=(0.3,), std=(0.2,))


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize(("parametrisation", "channels"), [("pixels", 1), ("fourier", 3)])
def test_under_an_l2_penalty_the_optimum_of_one_convolution_is_its_kernel(parametrisation, channels):
    trained = network(OneKernel(), (6, 7), channels, mean=(0.5,), std=(0.25,))
    kernel = np.asarray(trained.variables["params"]["conv"]["kernel"])  # [6, 7, C, 2]
    options = {"parametrisation": parametrisation, "steps": 300, "l2": 20.0, **STILL}
    result = visualise(trained, layer="conv", units=[0, 1], **options)
    for unit in (0, 1):
        assert correlation(result.images[unit], kernel[..., unit]) > 0.99


def test_a_negative_objective_finds_the_opposite_of_the_kernel():
    trained = network(OneKernel(), (6, 7), 1, mean=(0.5,), std=(0.25,))
    kernel = np.asarray(trained.variables["params"]["conv"]["kernel"])
    options = {"parametrisation": "pixels", "steps": 300, "l2": 20.0, **STILL}
    result = visualise(trained, layer="conv", units=[0, 1], negative=True, **options)
    assert correlation(result.images[0], kernel[..., 0]) < -0.99
    assert (result.activation < 0).all()
    assert not result.fires.any()


def test_the_same_seed_gives_the_same_bytes_and_the_chunk_changes_rounding_only():
    options = {"layer": "conv2", "steps": 3, "seed": 4}
    whole = visualise(lenet(), units=range(5), chunk=3, **options)
    again = visualise(lenet(), units=range(5), chunk=3, **options)
    assert whole.images.tobytes() == again.images.tobytes()
    assert whole.history.tobytes() == again.history.tobytes()
    other_chunk = visualise(lenet(), units=[3, 1], **options)
    np.testing.assert_allclose(other_chunk.images, whole.images[[3, 1]], atol=1e-5)
    np.testing.assert_allclose(other_chunk.history, whole.history[:, [3, 1]], atol=1e-5)
    other_seed = visualise(lenet(), units=range(5), chunk=3, **options | {"seed": 5})
    assert not np.array_equal(other_seed.images, whole.images)


def test_the_activation_is_that_of_the_network_for_the_images():
    trained = lenet()
    for objective in ("mean", "centre"):
        result = visualise(trained, layer="conv2", objective=objective, steps=2, units=[7, 2])
        x = (result.images - 0.3) / 0.2
        maps = trained.network.apply(trained.variables, x, capture_intermediates=True)[1]
        maps = np.asarray(maps["intermediates"]["conv2"]["__call__"][0])[[0, 1], ..., [7, 2]]
        expected = maps.mean((1, 2)) if objective == "mean" else maps[:, 5, 5]
        np.testing.assert_allclose(result.activation, expected, rtol=1e-4, atol=1e-5)


def test_steps_raise_the_activation():
    result = visualise(lenet(), layer="conv2", steps=8, chunk=3)
    assert (result.history[-1] > result.history[0]).all()
    assert result.history.shape == (8, 16)
    assert result.units.tolist() == list(range(16))
    assert result.receptive_field == (14, 14)


def test_a_unit_that_never_fires_is_said_and_gives_no_nan():
    for parametrisation in ("fourier", "pixels", "maco"):
        trained = network(OneKernel(), (6, 6))
        result = visualise(trained, layer="dead", steps=3, units=[1], parametrisation=parametrisation)
        assert result.fires.tolist() == [False]
        assert result.activation.tolist() == [0]
        assert np.isfinite(result.images).all()
        assert result.transparency is None or not result.transparency.any()


def test_total_variation_smooths():
    rough = visualise(lenet(), layer="conv1", units=[0], parametrisation="pixels", steps=40)
    smooth = visualise(lenet(), layer="conv1", units=[0], parametrisation="pixels", steps=40, total_variation=30.0)
    assert np.abs(np.diff(smooth.images, axis=2)).mean() < np.abs(np.diff(rough.images, axis=2)).mean() / 2


def test_the_transparency_of_maco_is_where_the_gradient_reaches():
    result = visualise(lenet(), layer="conv2", units=[0], objective="centre", parametrisation="maco", steps=3, **STILL)
    top, left = 2 * 5 - 2, 2 * 5 - 2  # of the receptive field of the unit at (5, 5)
    outside = result.transparency[0].copy()
    outside[top : top + 14, left : left + 14] = 0
    assert result.transparency.max() == 1
    assert not outside.any()


def test_the_magnitude_of_examples_is_that_of_the_images():
    examples = np.asarray(jax.random.uniform(jax.random.key(1), (20, 28, 28, 1), minval=0.45, maxval=0.55))
    result = visualise(lenet(), layer="conv1", units=[0, 3], parametrisation="maco", steps=5, examples=examples)
    expected = np.abs(np.fft.rfft2(examples[..., 0] - examples.mean())).mean(0)
    own = np.abs(np.fft.rfft2(result.images[..., 0]))
    np.testing.assert_allclose(own.reshape(2, -1)[:, 1:], np.tile(expected.ravel()[1:], (2, 1)), rtol=1e-3, atol=1e-3)


def test_a_class_is_an_objective():
    trained = lenet()
    result = visualise(trained, target="b", steps=8)
    logits = trained.network.apply(trained.variables, (result.images - 0.3) / 0.2)
    np.testing.assert_allclose(result.activation, logits[:, 1], rtol=1e-4, atol=1e-5)
    assert result.history[-1] > result.history[0]
    assert (result.objective, result.units, result.layer) == ("target", None, None)


def test_dense_layers_and_other_sizes_and_channels_are_visualised():
    assert visualise(lenet(), layer="dense1", units=[5], steps=2).images.shape == (1, 28, 28, 1)
    unet = network(create_model("unet", num_classes=2, width=2, depth=1), (16, 16), 5, Segmentation())
    assert visualise(unet, layer="down1", steps=2, size=24).images.shape == (2, 24, 24, 5)


def test_an_image_smaller_than_the_receptive_field_is_said():
    unet = network(create_model("unet", num_classes=2, width=2, depth=2), (32, 32), 1, Segmentation())
    with pytest.warns(UserWarning, match="8x8 pixels is smaller than the receptive field of bottleneck, 32x32"):
        result = visualise(unet, layer="bottleneck", units=[0], steps=1, size=8)
    assert result.receptive_field == (32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv3"}, "unknown layer 'conv3'; did you mean 'conv2'"),
        ({"layer": "conv1", "units": [6]}, r"unit must lie in 0\.\.5 for the layer conv1, found 6"),
        ({"units": []}, "units must name at least one"),
        ({"size": 20}, "LeNet5 does not take images of 20x20 pixels; its training images have 28x28"),
        ({"size": (2, 3, 4)}, r"size must be a side in pixels, or \(height, width\), found \(2, 3, 4\)"),
        ({"objective": "median"}, "unknown objective 'median'"),
        ({"parametrisation": "furier"}, "did you mean 'fourier'"),
        ({"steps": 0}, "steps must be 1 or more, found 0"),
        ({"rotation": 60}, "rotation must be between 0 and 44, found 60"),
        ({"jitter": 28}, "jitter must be between 0 and 27, found 28"),
        ({"target": 2}, r"target must lie in 0\.\.1 for 2 classes, found 2"),
        ({"target": []}, "target must name at least one"),
        ({"target": 1, "layer": "conv1"}, "leave these out"),
        ({"examples": np.zeros((2, 28, 28, 3))}, r"examples must be images \[N, H, W, 1\], found \[2, 28, 28, 3\]"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        visualise(lenet(), **options)


def test_one_layer_is_compiled_once():
    from cnnlab.features.ascent import _step

    trained = lenet()
    visualise(trained, layer="conv2", steps=2, units=range(6), chunk=3)
    before = _step.cache_size()
    visualise(trained, layer="conv2", steps=2, units=[9, 8, 7, 1], chunk=3, seed=9)
    assert _step.cache_size() == before
