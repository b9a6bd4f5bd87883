import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import models, nn

COUNTS = [
    # by arithmetic: sum over layers of kernel h * w * in * out + out
    ("linear", (28, 28, 1), 784 * 10 + 10),
    ("dense", (28, 28, 1), 784 * 128 + 128 + 128 * 10 + 10),
    ("lenet5", (28, 28, 1), 61_706),
    ("keras_mnist", (28, 28, 1), 1_199_882),
    ("keras_vgg", (100, 100, 3), 7_998_250),
]
INPUTS = {"keras_vgg": (20, 20, 3)}
registry = pytest.mark.parametrize("name", list(models.MODELS))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def built(name, **options):
    network = models.create_model(name, num_classes=7, **options)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, *INPUTS.get(name, (16, 16, 1)))), jnp.float32)
    return network, nn.init(network, x, jax.random.key(0)), x


@pytest.mark.parametrize(("name", "shape", "number"), COUNTS)
def test_parameter_counts_are_those_of_the_arithmetic(name, shape, number):
    network = models.create_model(name, num_classes=10)
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), jnp.zeros((1, *shape)))
    assert count(variables["params"]) == number


def test_lenet5_without_padding_has_the_44426_parameters_of_valid_convolutions():
    # 28 -> 24 -> 12 -> 8 -> 4: 4 * 4 * 16 = 256 inputs to the first dense layer instead of 400
    assert 61_706 - (400 - 256) * 120 == 44_426


@registry
def test_every_parameter_gets_a_finite_gradient_and_some_of_it_is_not_zero(name):
    network, variables, x = built(name)
    params = variables.pop("params")

    def loss(params):
        out, _ = nn.apply(
            network, {"params": params, **variables}, x, train=True, rngs={"dropout": jax.random.key(1)}, mutable=True
        )
        return (out * jax.random.normal(jax.random.key(2), out.shape)).sum()

    for path, leaf in flax.traverse_util.flatten_dict(jax.grad(loss)(params), sep="/").items():
        assert jnp.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


@registry
def test_compiled_equals_eager(name):
    network, variables, x = built(name)
    eager = nn.apply(network, variables, x)
    compiled = jax.jit(lambda v, x: nn.apply(network, v, x))(variables, x)
    np.testing.assert_allclose(compiled, eager, atol=1e-4)
    assert eager.shape[-1] == 7
    assert eager.dtype == jnp.float32


@registry
def test_every_layer_is_named_so_the_parameter_tree_is_a_format(name):
    _, variables, _ = built(name)
    names = {key for path in flax.traverse_util.flatten_dict(variables["params"]) for key in path}
    assert not [n for n in names if re.fullmatch(r"[A-Z]\w*_\d+", n)]


@registry
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(name):
    network, variables, x = built(name, dtype=jnp.bfloat16)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    switches = {} if name == "linear" else {"deterministic": True}
    assert network.apply(variables, x, **switches).dtype == jnp.bfloat16


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
