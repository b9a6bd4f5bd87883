"""Class activation maps by hand: a network whose last layer and its gradients are known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, create_model, explain
from cnnlab.data import InputSpec
from cnnlab.explain.taps import find_layer, find_layers
from cnnlab.tasks import Classification, Segmentation

A = np.array([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 4.0], [1.0, 1.0]]])  # [h, w, 2 maps]
WEIGHTS = np.array([[[1.0, -1.0], [2.0, 0.0]], [[0.0, 1.0], [-1.0, 3.0]]])  # gradients of the logit by them


class Weighted(nn.Module):
    """A layer that returns the image, and a logit that is its weighted sum."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(2, (1, 1), use_bias=False, kernel_init=lambda *_: jnp.eye(2)[None, None], name="conv")(x)
        logit = (x * WEIGHTS).sum((1, 2, 3))
        return jnp.stack([logit, -logit], -1)


def by_hand(method):
    g, a = WEIGHTS, A
    if method == "grad_cam":
        return (g.mean((0, 1)) * a).sum(-1)
    if method == "hires_cam":
        return (g * a).sum(-1)
    if method == "layer_cam":
        return (np.maximum(g, 0) * a).sum(-1)
    below = 2 * g**2 + g**3 * a.sum((0, 1))
    share = np.divide(g**2, below, out=np.zeros_like(g), where=(g != 0) & (below != 0))
    return ((np.maximum(g, 0) * share).sum((0, 1)) * a).sum(-1)


def network(module, size=(2, 2), channels=2, **variables):
    x = jnp.zeros((1, *size, channels))
    spec = InputSpec(size, channels, classes="ab")
    return Trained(module.init(jax.random.key(0), x), module, Classification(), spec)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam", "grad_cam_plus_plus"])
def test_a_map_of_four_places_is_the_one_computed_by_hand(method):
    trained = network(Weighted())
    result = getattr(explain, method)(trained, jnp.asarray(A[None], jnp.float32), target=0)
    np.testing.assert_allclose(result.map[0], np.maximum(by_hand(method), 0), atol=1e-5)


def test_eigen_cam_is_the_projection_on_the_first_principal_component():
    places = A.reshape(4, 2) - A.reshape(4, 2).mean(0)
    component = np.linalg.eigh(places.T @ places)[1][:, -1]
    projection = places @ component
    expected = np.maximum(projection * np.sign(projection[np.abs(projection).argmax()]), 0)
    result = explain.eigen_cam(network(Weighted()), jnp.asarray(A[None], jnp.float32), target=0)
    np.testing.assert_allclose(result.map[0].reshape(-1), expected, atol=1e-5)


def test_score_cam_weights_maps_by_the_softmax_of_masked_scores():
    masks = [(A[..., c] - A[..., c].min()) / np.ptp(A[..., c]) for c in range(2)]
    scores = np.array([(A * mask[..., None] * WEIGHTS).sum() for mask in masks])
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    result = explain.score_cam(network(Weighted()), jnp.asarray(A[None], jnp.float32), target=0)
    np.testing.assert_allclose(result.map[0], np.maximum((A * weights).sum(-1), 0), rtol=1e-5)


def lenet(**options):
    model = create_model("lenet5", num_classes=4, **options)
    images = jax.random.uniform(jax.random.key(1), (64, 28, 28, 1))
    spec = InputSpec((28, 28), classes="abcd")
    return Trained(model.init(jax.random.key(0), images), model, Classification(), spec), images


@pytest.mark.parametrize("method", ["grad_cam", "eigen_cam", "score_cam", "occlusion", "guided_backpropagation"])
def test_a_batch_is_64_independent_maps(method):
    trained, images = lenet()
    together = getattr(explain, method)(trained, images, target=1).map
    for i in (0, 40):
        alone = getattr(explain, method)(trained, images[i : i + 1], target=1).map[0]
        np.testing.assert_allclose(together[i], alone, atol=2e-5 * float(jnp.abs(alone).max()))


def test_an_empty_map_stays_zero_and_is_reported():
    with pytest.warns(UserWarning, match="image 0 is zero everywhere"):
        result = explain.grad_cam(network(Weighted()), jnp.asarray(A[None], jnp.float32), target=1)
    assert not result.map.any()


def test_the_default_layer_is_the_last_one_with_spatial_axes():
    trained, _ = lenet(dropout=0.5, spatial_dropout=0.2)
    assert find_layer(trained).name == "conv2"
    assert [layer.name for layer in find_layers(trained)] == ["conv1", "conv2", "dense1", "dense2", "dense3"]


def test_the_layer_of_a_segmentation_is_the_one_before_its_logits():
    unet = create_model("unet", num_classes=2, width=2, depth=1)
    spec = InputSpec((16, 16), classes="ab")
    trained = Trained(unet.init(jax.random.key(0), jnp.zeros((1, 16, 16, 1))), unet, Segmentation(), spec)
    last = [layer.name for layer in find_layers(trained)][-1]
    assert find_layer(trained).shape[1:3] == (16, 16)
    assert find_layer(trained).name != last


@pytest.mark.parametrize(
    ("layer", "message"),
    [("conv3", "unknown layer 'conv3'; did you mean 'conv2'"), ("dense1", r"dense1 has the output \[120\], without")],
)
def test_a_layer_that_does_not_fit_is_named(layer, message):
    trained, images = lenet()
    with pytest.raises(ValueError, match=message):
        explain.grad_cam(trained, images, layer=layer)


def test_a_network_without_spatial_layers_has_no_class_activation_map():
    with pytest.raises(ValueError, match="Linear has no layer with spatial axes"):
        explain.grad_cam(network(create_model("linear", num_classes=2)), jnp.ones((1, 2, 2, 2)))


def test_dominant_classes_are_the_maps_of_each_class_by_probability():
    trained, images = lenet()
    both = explain.dominant_classes(trained, images[:3], number=2)
    for rank in range(2):
        single = explain.grad_cam(trained, images[:3], target=both.label[:, rank])
        np.testing.assert_allclose(both.map[:, rank], single.map, atol=1e-6)
    assert (both.prob[:, 0] >= both.prob[:, 1]).all()


def test_an_ensemble_averages_the_maps_of_its_members():
    (one, images), model = lenet(), create_model("lenet5", num_classes=4)
    two = one.replace(variables=model.init(jax.random.key(9), images))
    maps = np.stack([explain.grad_cam(member, images[:4], target=1).map for member in (one, two)])
    result = explain.grad_cam([one, two], images[:4], target=1)
    np.testing.assert_allclose(result.map, maps.mean(0), atol=1e-6)
    np.testing.assert_allclose(result.spread, maps.std(0), atol=1e-6)


@pytest.mark.parametrize("method", ["grad_cam", "saliency", "occlusion", "guided_backpropagation", "smooth_grad"])
def test_error_bars_are_the_deviation_over_the_passes_of_the_sampler(method):
    trained, images = lenet(dropout=0.5)
    result = getattr(explain, method)(trained, images[:2], target=1, mc_samples=8, key=jax.random.key(3))
    again = getattr(explain, method)(trained, images[:2], target=1, mc_samples=8, key=jax.random.key(3))
    assert (result.spread.max((1, 2)) > 0).all()
    np.testing.assert_array_equal(result.map, again.map)


def test_one_shape_is_compiled_once():
    from cnnlab.explain.compute import _explain

    trained, images = lenet()
    explain.grad_cam(trained, images[:5], target=0)
    before = _explain.cache_size()
    for target in range(4):
        explain.grad_cam(trained, images[5:10], target=target)
    assert _explain.cache_size() == before
