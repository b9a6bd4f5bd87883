import functools
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnlab import models, nn

COUNTS = [
    # computed by hand: the sum of h * w * in * out + out over the layers
    ("linear", (28, 28, 1), 784 * 10 + 10),
    ("dense", (28, 28, 1), 784 * 128 + 128 + 128 * 10 + 10),
    ("lenet5", (28, 28, 1), 61_706),
    ("keras_mnist", (28, 28, 1), 1_199_882),
    ("keras_vgg", (100, 100, 3), 7_998_250),
    ("network_in_network", (32, 32, 3), 966_986),
    ("resnet8", (32, 32, 3), 75_290),
    ("resnet20", (32, 32, 3), 269_722),
    ("resnet56", (32, 32, 3), 853_018),
    # stages of 88, 2,368 and 18,560, the column 3 * 64 * 128 + 256, two of 3 * 128 * 128 + 256, and 128 * 10 + 10
    ("reader", (28, 208, 1), 88 + 2_368 + 18_560 + 24_832 + 2 * 49_408 + 1_290),
    ("tcn", (1, 256, 1), (3 + 1) * 32 + (1 + 1) * 32 + 11 * (3 * 32 + 1) * 32 + 32 * 10 + 10),
]
PUBLISHED = [
    # parameters and moving statistics in torchvision and Keras, for 1,000 classes
    ("alexnet", 61_100_840, 0),
    ("vgg11", 132_863_336, 0),
    ("vgg16", 138_357_544, 0),
    ("resnet18", 11_689_512, 9_600),
    ("resnet34", 21_797_672, 17_024),
    ("resnet50", 25_557_032, 53_120),
    ("googlenet", 6_624_904, 14_560),
    ("googlenet_paper", 6_998_552, 0),
    ("xception", 22_855_952, 54_528),
]
TINY_RESNET = {"width": 12, "stage_sizes": (1, 2)}
TINY = {
    # options and input shape of a small version of each architecture
    "keras_vgg": ({}, (20, 20, 3)),
    "alexnet": ({"width": 10, "hidden": 8}, (64, 64, 3)),
    "network_in_network": ({"widths": ((12, 11, 10), (10, 10, 10), (10, 10))}, (16, 16, 3)),
    **dict.fromkeys(("vgg11", "vgg16"), ({"width": 10, "hidden": 8}, (32, 32, 3))),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50"), (TINY_RESNET, (32, 32, 3))),
    **dict.fromkeys(("resnet8", "resnet20", "resnet32", "resnet44", "resnet56"), (TINY_RESNET, (16, 16, 3))),
    **dict.fromkeys(("googlenet", "googlenet_paper"), ({"width": 1 / 4}, (48, 48, 3))),
    "xception": ({"width": 1 / 8, "middle": 1}, (40, 40, 3)),
    "unet": ({"width": 10, "depth": 2}, (18, 14, 1)),
    "yolo": ({"layers": (((3, 12, 2),), ((1, 10, 1), (3, 12, 1))), "hidden": 10, "cells": 2}, (16, 16, 3)),
    "yolo_small": ({"width": 8, "stage_sizes": (1, 1), "stride": 8}, (16, 16, 3)),
    **dict.fromkeys(("tcn", "tcn_steps"), ({"features": 10, "dilations": (1, 2)}, (1, 16, 1))),
}
WITHOUT_TRUNK = ("keras_vgg", "unet", "tcn", "tcn_steps")
# Networks that differ from a tested one in sizes alone.
TWINS = ("vgg16", "resnet34", "resnet8", "resnet32", "resnet44", "resnet56", "yolo_fast")
KINDS = [name for name in models.MODELS if name not in TWINS]
SLOW_WHEN_EAGER = ("googlenet", "googlenet_paper", "xception")
registry = pytest.mark.parametrize("name", KINDS)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@functools.cache
def built(name, **options):
    tiny, shape = TINY.get(name, ({}, (16, 16, 1)))
    network = models.create_model(name, num_classes=7, **(tiny | options))
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    shapes = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), x)
    return network, jax.tree_util.tree_map_with_path(drawn, shapes), x


def drawn(path, leaf):
    """Returns a random variable of this shape, faster than the initialisers; kernels preserve the activations' size."""
    if leaf.ndim == 1:
        return np.full(leaf.shape, 1.0 if path[-1].key in ("scale", "var") else 0.1, np.float32)
    scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return np.random.default_rng(leaf.size).normal(scale=scale, size=leaf.shape).astype(np.float32)


@pytest.mark.parametrize(("name", "shape", "number"), COUNTS)
def test_parameter_counts_are_those_of_the_arithmetic(name, shape, number):
    network = models.create_model(name, num_classes=10)
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), jnp.zeros((1, *shape)))
    assert count(variables["params"]) == number


@pytest.mark.parametrize(("name", "parameters", "statistics"), PUBLISHED)
def test_counts_of_the_classic_networks_are_the_published_ones(name, parameters, statistics):
    network = models.create_model(name, num_classes=1000)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), images)
    assert count(variables["params"]) == parameters
    assert count(variables.get("batch_stats", {})) == statistics


@pytest.mark.parametrize("name", [name for name in TINY if name not in WITHOUT_TRUNK])
def test_features_alone_are_a_map_whose_layers_are_those_of_the_whole(name):
    whole, variables, x = built(name)
    trunk = whole.clone(features_only=True)
    features, own = jax.eval_shape(lambda x: (nn.apply(trunk, variables, x), nn.init(trunk, x, jax.random.key(0))), x)
    assert features.ndim == 4
    assert features.shape[1] < x.shape[1]
    assert set(own["params"]) < set(variables["params"])


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("alexnet", 32, "kernel of 3 pixels is larger than its padded input of 1"),
        ("vgg11", 16, "kernel of 2 pixels is larger than its padded input of 1"),
        ("reader", 4, "a strip must be 8 pixels high and 4 wide or more, found 4x4"),
        ("xception", 2, "kernel of 3 pixels is larger than its padded input of 2"),
    ],
)
def test_an_input_too_small_is_refused_with_both_sizes(name, side, message):
    network = models.create_model(name, num_classes=10, **TINY.get(name, ({}, ()))[0])
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))


@pytest.mark.parametrize(("option", "near"), [("stem", "photo"), ("block", "bottleneck"), ("shortcut", "project")])
def test_a_residual_network_of_an_unknown_kind_names_the_nearest(option, near):
    network = models.create_model("resnet18", num_classes=3, **{option: near[:-1]})
    with pytest.raises(ValueError, match=f"unknown {option} '{near[:-1]}'; did you mean '{near}'"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_logits_of_network_in_network_may_be_negative():
    network, variables, x = built("network_in_network")
    classes = variables["params"]["classes"]["conv"] | {"bias": jnp.full(7, -100.0)}
    params = variables["params"] | {"classes": {"conv": classes}}
    assert (nn.apply(network, {"params": params}, x) < 0).all()


def test_lenet5_without_padding_has_the_44426_parameters_of_valid_convolutions():
    # 28 -> 24 -> 12 -> 8 -> 4: 4 * 4 * 16 = 256 inputs to the first dense layer instead of 400
    assert 61_706 - (400 - 256) * 120 == 44_426


@registry
def test_every_parameter_gets_a_finite_gradient_and_some_of_it_is_not_zero(name):
    network, variables, x = built(name)

    def loss(params):
        options = {"train": True, "rngs": {"dropout": jax.random.key(1)}, "mutable": True}
        out, _ = nn.apply(network, variables | {"params": params}, x, **options)
        return (out * jax.random.normal(jax.random.key(2), out.shape)).sum()

    gradients = jax.device_get(jax.jit(jax.grad(loss))(variables["params"]))
    for path, leaf in flax.traverse_util.flatten_dict(gradients, sep="/").items():
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


@pytest.mark.parametrize("name", [name for name in KINDS if name not in SLOW_WHEN_EAGER])
def test_compiled_equals_eager(name):
    network, variables, x = built(name)
    eager = nn.apply(network, variables, x)
    compiled = jax.jit(lambda v, x: nn.apply(network, v, x))(variables, x)
    np.testing.assert_allclose(compiled, eager, atol=1e-4)
    assert eager.shape[-1] == 7
    assert eager.dtype == jnp.float32


@registry
def test_every_layer_is_named_so_the_parameter_tree_is_a_format(name):
    network, _, x = built(name)
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), x)
    names = {key for path in flax.traverse_util.flatten_dict(variables["params"]) for key in path}
    assert not [n for n in names if re.fullmatch(r"[A-Z]\w*_\d+", n)]


@registry
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(name):
    network, variables, x = built(name, dtype=jnp.bfloat16)
    fresh = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), x)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(fresh)} == {"float32"}
    assert jax.eval_shape(network.apply, variables, x).dtype == jnp.bfloat16


def test_dropout_drops_only_while_training():
    network, variables, x = built("lenet5", dropout=0.5, spatial_dropout=0.2)
    key = {"dropout": jax.random.key(3)}
    still = nn.apply(network, variables, x)
    noisy, _ = nn.apply(network, variables, x, train=True, rngs=key, mutable=["batch_stats"])
    assert (nn.apply(network, variables, x) == still).all()
    assert (noisy != still).any()


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match="unknown model 'lenet'; did you mean 'lenet5'"):
        models.create_model("lenet", num_classes=10)


def test_a_model_registered_from_outside_is_built_by_name(monkeypatch):
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    models.register("mine", models.LeNet5)
    assert models.create_model("mine", num_classes=3).num_classes == 3


def test_weights_are_imported_by_what_the_line_of_a_network_says_of_them(monkeypatch, tmp_path):
    weights = models.Weights({("dense1",): "classifier.0", ("dense2",): "fc"}, side=2)
    monkeypatch.setitem(models.MODELS, "mine", models.Network(models.Dense, (2, 2, 2), 3, weights))
    state = {"classifier.0.weight": np.arange(8.0)[None], "classifier.0.bias": np.zeros(1)}
    state |= {"fc.weight": np.ones((3, 1)), "fc.bias": np.arange(3.0)}
    save_file({key: array.astype(np.float32) for key, array in state.items()}, tmp_path / "w.safetensors")
    network, variables = models.import_torch("mine", tmp_path / "w.safetensors", features=(1,))
    x = np.zeros((1, 2, 2, 2), np.float32)
    x[0, 0, 1, 1] = 1  # torch flattens the channels first: channel 1, pixel 1 has the weight 4 + 1
    np.testing.assert_array_equal(nn.apply(network, variables, x), [[5, 6, 7]])
