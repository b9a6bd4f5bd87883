import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.anatomy import summary
from cnnlab.data import Examples, InputSpec
from cnnlab.probe.layers import _roll, compare_layers, similarity_parts, strides, whole_shift
from cnnlab.tasks import Classification
from cnnlab.trained import Trained


class Layers(nn.Module):
    """A convolution, ReLU, pooling, another convolution, and a dense layer."""

    padding: str = "VALID"

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(3, (3, 3), padding=self.padding, name="conv1")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Conv(4, (3, 3), padding=self.padding, name="conv2")(x)
        return nn.Dense(2, name="dense")(x.mean((1, 2)))


class Affine(nn.Module):
    """A convolution with stride 2 and a dense layer, both with a bias, and nothing else."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(3, (3, 3), strides=2, bias_init=nn.initializers.normal(1), name="conv")(x)
        return nn.Dense(2, bias_init=nn.initializers.normal(1), name="dense")(x.reshape(len(x), -1))


def compare(network, images, batch_size=4):
    spec = InputSpec(images.shape[1:3], images.shape[3], mean=(0.3,), std=(0.5,), classes=("a", "b"))
    trained = Trained(network.init(jax.random.key(0), images), network, Classification(), spec)
    report = compare_layers(trained, Examples({"image": images}), summary(trained), batch_size=batch_size)
    return {record["layer"]: record for record in report["layers"]} | {"shift": report["shift"]}


def test_similarity_is_one_only_for_equal_features():
    a, weight = jnp.array([[1.0, 2.0]]), jnp.ones((1, 1))
    for b, expected in ((a, 1), (-a, -1), (jnp.array([[2.0, -1.0]]), 0), (2 * a, 0.8)):  # 2 * 10 / (5 + 20)
        above, below = similarity_parts(a, b, weight)
        assert float(above / below) == pytest.approx(expected)


def test_a_shift_is_whole_for_every_layer():
    steps = strides(summary("lenet5"))
    assert steps == {"conv1": (1, 1), "conv2": (2, 2)}
    assert whole_shift(steps, (28, 28)) == 2
    assert whole_shift({"a": (2.0, 3.0)}, (28, 28)) == 6


def test_rolled_features_are_known_where_they_came_from_inside():
    moved, known = _roll(jnp.arange(6.0).reshape(1, 2, 3, 1), jnp.array([0, 1]))
    assert moved[0, :, 1:, 0].tolist() == [[0, 1], [3, 4]]
    assert known[..., 0].tolist() == [[0, 1, 1], [0, 1, 1]]


def test_convolutions_away_from_borders_are_equivariant():
    images = np.zeros((6, 24, 24, 1), np.float32)
    images[:, 8:16, 8:16] = np.random.default_rng(0).random((6, 8, 8, 1))
    layers = compare(Layers(), images)
    assert layers["shift"] == 2
    for name in ("conv1", "conv2"):
        assert layers[name]["equivariance"] == pytest.approx(1, abs=1e-5)
        assert layers[name]["invariance"] < 0.9
    assert layers["dense"]["invariance"] == pytest.approx(1, abs=1e-4)  # the mean over all positions
    assert layers["dense"]["equivariance"] is None


def test_padding_breaks_equivariance():
    images = np.random.default_rng(0).random((6, 16, 16, 1), np.float32)
    assert compare(Layers("SAME"), images)["conv1"]["equivariance"] < 0.999


def test_an_affine_network_is_linear_and_one_with_relus_is_not():
    images = np.random.default_rng(0).random((6, 16, 16, 2), np.float32)
    affine, curved = compare(Affine(), images), compare(Layers(), images)
    assert [affine[name]["linearity"] for name in ("conv", "dense")] == pytest.approx([1, 1], abs=1e-5)
    assert curved["conv1"]["linearity"] == pytest.approx(1, abs=1e-5)
    assert curved["conv2"]["linearity"] < 0.999


def test_padding_rows_of_the_last_batch_do_not_count():
    images = np.random.default_rng(0).random((4, 16, 16, 1), np.float32)
    full, padded = (compare(Layers(), images, batch_size=size)["conv2"] for size in (4, 6))
    assert padded["invariance"] == pytest.approx(full["invariance"], abs=1e-6)
