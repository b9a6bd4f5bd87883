"""Tests of the three YOLO networks: shapes, and numbers of parameters computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.models import create_model


def shapes_of(network, size, **options):
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    out = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x, **options), images)
    return out[0].shape, sum(leaf.size for leaf in jax.tree.leaves(out[1]["params"]))


def count(*layers, c=3):
    """Counts the weights and biases of a chain of convolutions (kernel, channels)."""
    total = 0
    for kernel, features in layers:
        total += (kernel * kernel * c + 1) * features
        c = features
    return total


def test_yolo_has_the_papers_24_convolutions_and_its_parameters():
    pair, wide = [(1, 256), (3, 512)], [(1, 512), (3, 1024)]
    layers = [(7, 64), (3, 192), (1, 128), (3, 256), *pair, *pair * 4, *wide, *wide * 2, *[(3, 1024)] * 4]
    assert len(layers) == 24
    dense = (7 * 7 * 1024 + 1) * 4096 + (4096 + 1) * 7 * 7 * 30
    shape, parameters = shapes_of(create_model("yolo", num_classes=2 * 5 + 20), 448)
    assert shape == (1, 7, 7, 30)
    assert parameters == count(*layers) + dense == 271_703_550


def test_the_fast_one_has_nine_convolutions():
    layers = [(3, 16), (3, 32), (3, 64), (3, 128), (3, 256), (3, 512), *[(3, 1024)] * 3]
    dense = (7 * 7 * 1024 + 1) * 4096 + (4096 + 1) * 7 * 7 * 30
    shape, parameters = shapes_of(create_model("yolo_fast", num_classes=30), 448)
    assert shape == (1, 7, 7, 30)
    assert parameters == count(*layers) + dense == 236_716_382


def test_the_side_of_the_grid_is_a_field():
    network = create_model("yolo_fast", num_classes=8, cells=5, hidden=16)
    assert shapes_of(network, 128)[0] == (1, 5, 5, 8)


@pytest.mark.parametrize(("stride", "cells"), [(8, 52), (16, 26), (32, 13)])
def test_the_small_ones_grid_follows_the_input_below_five_million_parameters(stride, cells):
    shape, parameters = shapes_of(create_model("yolo_small", num_classes=13, stride=stride), 416)
    assert shape == (1, cells, cells, 13)
    # A stem 3 -> 32, and blocks of two 3x3, with a 1x1 shortcut if the channels change or the map is halved.
    block = lambda a, b, change: 9 * a * b + 9 * b * b + 4 * b + change * (a * b + 2 * b)  # noqa: E731
    blocks = [
        (32, 32, 1),
        (32, 64, 1),
        (64, 64, 0),
        (64, 128, 1),
        (128, 128, 0),
        (128, 256, 1),
        (256, 256, 0),
    ]
    expected = 27 * 32 + 64 + sum(block(*widths) for widths in blocks) + 9 * 256**2 + 512 + 257 * 13
    assert parameters == expected == 3_371_245


def test_leaky_units_let_a_tenth_of_negative_values_through():
    network = create_model("yolo", num_classes=1, layers=(((1, 1, 1),),), cells=1, hidden=1, dropout=0.0)
    params = {
        "conv1": {"conv": {"kernel": jnp.full((1, 1, 1, 1), -1.0), "bias": jnp.zeros(1)}},
        "dense1": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)},
        "dense2": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)},
    }
    assert network.apply({"params": params}, jnp.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(-0.03)


def test_every_parameter_of_the_small_one_gets_a_finite_gradient():
    network = create_model("yolo_small", num_classes=8, width=4, stride=8)
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    variables = jax.jit(lambda x: cnnlab.nn.init(network, x, jax.random.key(1)))(images)

    def value(params):
        logits, _ = network.apply(
            variables | {"params": params}, images, use_running_average=False, mutable=["batch_stats"]
        )
        return (logits**2).sum()

    gradients = jax.device_get(jax.jit(jax.grad(value))(variables["params"]))
    assert all(np.isfinite(leaf).all() and (leaf != 0).any() for leaf in jax.tree.leaves(gradients))
