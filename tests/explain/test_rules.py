import contextlib
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from cnnlab import models, ops
from cnnlab import nn as cnn
from cnnlab.explain.rules import RULES, with_rule
from cnnlab.kernels import dispatch
from cnnlab.models import yolo

both_rules = pytest.mark.parametrize("rule", RULES)
SHAPE = (2, 5, 6, 3)
X, KERNELS, READOUT = (
    np.random.default_rng(0).normal(size=size).astype(np.float32) for size in (SHAPE, (3, 3, 3, 3, 3), (2, 3))
)


def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel * 0.4, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def network(activation, kernels=KERNELS):
    """Three convolutions with that activation."""

    def forward(x):
        for kernel in kernels:
            x = activation(convolve(x, kernel))
        return x.mean((1, 2))

    return forward


def gradient(function, rule, x=X):
    return jax.jit(jax.grad(lambda x: (with_rule(function, rule)(x) * READOUT).sum()))(x)


def reference(rule, slope=0.0):
    """A ReLU with the rule, written by hand."""

    def ruled(x):
        return jnp.where(x > 0, x, slope * x)

    def passed(x, g):
        d = jnp.where(g > 0, 1, slope) * (jnp.where(x > 0, 1, slope) if rule == "guided" else 1)
        return (g * d,)

    ruled = jax.custom_vjp(ruled)
    ruled.defvjp(lambda x: (jnp.where(x > 0, x, slope * x), x), passed)
    return ruled


@functools.cache
def expected(rule, slope=0.0):
    function = network(reference(rule, slope))
    return jax.jit(jax.grad(lambda x: (function(x) * READOUT).sum()))(X)


@jax.custom_jvp
def with_jvp(x):
    return jnp.maximum(x, 0)


with_jvp.defjvp(lambda primals, tangents: (with_jvp(*primals), tangents[0] * 7.0))
with_vjp = jax.custom_vjp(lambda x: jnp.where(x > 0, x, 0))
with_vjp.defvjp(lambda x: (with_vjp(x), None), lambda saved, g: (g * 7.0,))

RELUS = {
    "nn.relu": nn.relu,
    "maximum(x, 0)": lambda x: jnp.maximum(x, 0),
    "maximum(0, x)": lambda x: jnp.maximum(0.0, x),
    "lax.max(x, zeros_like)": lambda x: lax.max(x, jnp.zeros_like(x)),
    "maximum(x, constant array)": lambda x: jnp.maximum(x, np.zeros(SHAPE, np.float32)),
    "where(x > 0, x, 0)": lambda x: jnp.where(x > 0, x, 0),
    "where(x >= 0, x, zeros)": lambda x: jnp.where(x >= 0, x, jnp.zeros(SHAPE)),
    "where(x < 0, 0, x)": lambda x: jnp.where(x < 0, 0, x),
    "where(0 < x, x, 0)": lambda x: jnp.where(lax.lt(jnp.zeros_like(x), x), x, 0.0),
    "where(~(x <= 0), x, 0)": lambda x: jnp.where(~(x <= 0), x, 0.0),
    "where(-2 x < 0, x, 0)": lambda x: jnp.where(-2 * x < 0, x, 0.0),
    "lax.select": lambda x: lax.select(x > 0, x, jnp.zeros_like(x)),
    "clip(x, 0)": lambda x: jnp.clip(x, 0),
    "clip(x, 0, None)": lambda x: jnp.clip(x, 0, None),
    "clamp(0, x, inf)": lambda x: lax.clamp(0.0, x, jnp.inf),
    "x * (x > 0)": lambda x: x * (x > 0),
    "(x > 0) * x": lambda x: (x > 0).astype(x.dtype) * x,
    "x * where(x > 0, 1, 0)": lambda x: x * jnp.where(x > 0, 1.0, 0.0),
    "x * stop_gradient(x > 0)": lambda x: x * lax.stop_gradient((x > 0).astype(x.dtype)),
    "where(stop_gradient(x) > 0, x, 0)": lambda x: jnp.where(lax.stop_gradient(x) > 0, x, 0.0),
    "maximum(x, 0 * x)": lambda x: jnp.maximum(x, 0 * x),
    "jit": jax.jit(lambda x: jnp.maximum(x, 0)),
    "checkpoint": jax.checkpoint(lambda x: jnp.maximum(x, 0)),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "checkpoint of jit of custom_jvp": jax.checkpoint(jax.jit(with_jvp)),
    "cond": lambda x: lax.cond(len(x) == 2, nn.relu, lambda x: 2 * x, x),
    "switch": lambda x: lax.switch(1, [lambda x: x, with_vjp, jnp.negative], x),
    "platform_dependent": lambda x: lax.platform_dependent(x, cpu=nn.relu, default=lambda x: jnp.maximum(x, 0)),
    "vmap": jax.vmap(nn.relu),
    "scan": lambda x: lax.scan(lambda c, _: (nn.relu(c), None), x, None, length=1)[0],
    "scan over images": lambda x: lax.scan(lambda c, image: (c, jnp.where(image > 0, image, 0)), None, x)[1],
    "relu6": lambda x: 100 * jax.nn.relu6(x / 100),
    "minimum first": lambda x: jnp.maximum(jnp.minimum(x, 100.0), 0),
}
LEAKY = {
    "leaky_relu": functools.partial(jax.nn.leaky_relu, negative_slope=0.1),
    "where(x > 0, x, slope x)": lambda x: jnp.where(x > 0, x, 0.1 * x),
    "where(x <= 0, x / 10, x)": lambda x: jnp.where(x <= 0, x / 10, x),
    "maximum(x, slope x)": lambda x: jnp.maximum(x, 0.1 * x),
    "maximum(slope x, x)": lambda x: jnp.maximum(x * 0.1, x),
    "x * where(x > 0, 1, slope)": lambda x: x * jnp.where(x > 0, 1, 0.1),
    "PReLU": lambda x: nn.PReLU().apply({"params": {"negative_slope": jnp.float32(0.1)}}, x),
    "scan over slopes": lambda x: lax.scan(lambda c, a: (jnp.where(c > 0, c, a * c), None), x, jnp.full(1, 0.1))[0],
}


@both_rules
@pytest.mark.parametrize("way", RELUS)
def test_a_relu_has_the_same_map_however_it_is_written(way, rule):
    function = network(RELUS[way])
    assert (with_rule(function, rule)(X) == function(X)).all()
    np.testing.assert_allclose(gradient(function, rule), expected(rule), rtol=1e-5, atol=1e-6)


@both_rules
@pytest.mark.parametrize("way", LEAKY)
def test_a_leaky_relu_has_the_same_map_however_it_is_written(way, rule):
    function = network(LEAKY[way])
    assert (with_rule(function, rule)(X) == function(X)).all()
    np.testing.assert_allclose(gradient(function, rule), expected(rule, 0.1), rtol=1e-5, atol=1e-6)


def test_the_rules_differ_from_each_other_and_from_the_gradient():
    plain = jax.grad(lambda x: (network(nn.relu)(x) * READOUT).sum())(X)
    guided, deconvolution = map(expected, RULES)
    for a, b in ((plain, guided), (plain, deconvolution), (guided, deconvolution)):
        assert abs(a - b).max() > 0.1 * abs(a).max()


# Positive and negative inputs, with positive and negative gradients.
INPUTS, WEIGHTS = jnp.array([2.0, -2.0, 2.0, -2.0]), jnp.array([3.0, 3.0, -3.0, -3.0])


@pytest.mark.parametrize(
    ("rule", "slope", "passed"),
    [
        ("deconvolution", 0, [3, 3, 0, 0]),
        ("guided", 0, [3, 0, 0, 0]),
        ("deconvolution", 0.5, [3, 3, -1.5, -1.5]),
        ("guided", 0.5, [3, 1.5, -1.5, -0.75]),
    ],
)
def test_a_relu_passes_what_the_arithmetic_says(rule, slope, passed):
    function = with_rule(lambda x: nn.leaky_relu(x, slope), rule)
    np.testing.assert_array_equal(jax.grad(lambda x: function(x) @ WEIGHTS)(INPUTS), passed)


@pytest.mark.parametrize(("rule", "passed"), [(None, [2, -3]), ("deconvolution", [-4, 1]), ("guided", [2, -2])])
def test_a_network_of_two_pixels_has_the_map_of_the_arithmetic(rule, passed):
    # Three units, 1, -3 and 1, with gradients 2, 3 and -1: the gradient passes units 1 and 3, deconvolution units 1 and
    # 2, and the guided rule unit 1.
    x, weights, g = (
        jnp.array([2.0, 1.0]),
        jnp.array([[1.0, -1.0], [-2.0, 1.0], [0.0, 1.0]]),
        jnp.array([2.0, 3.0, -1.0]),
    )
    function = lambda x: nn.relu(weights @ x)  # noqa: E731
    ruled = with_rule(function, rule) if rule else function
    np.testing.assert_array_equal(jax.grad(lambda x: ruled(x) @ g)(x), passed)


def test_the_bound_of_relu6_keeps_its_own_derivative():
    x, g = jnp.array([-1.0, 3.0, 7.0, 3.0]), jnp.array([1.0, 1.0, 1.0, -1.0])
    for bounded in (jax.nn.relu6, lambda x: jnp.clip(x, 0, 6), lambda x: lax.clamp(0.0, x, 6.0)):
        passed = {rule: jax.grad(lambda x: with_rule(bounded, rule)(x) @ g)(x).tolist() for rule in RULES}  # noqa: B023
        assert passed == {"guided": [0, 1, 0, 0], "deconvolution": [1, 1, 0, 0]}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_network_in_half_precision_has_a_map_in_half_precision(dtype):
    function = with_rule(lambda x: nn.leaky_relu(x) * 2, "guided")
    passed = jax.grad(lambda x: function(x) @ jnp.array([1, -1], dtype))(jnp.array([1, -2], dtype))
    assert passed.dtype == dtype
    np.testing.assert_allclose(passed.astype(float), [2, -2e-4], rtol=2e-2)


def test_the_members_of_an_ensemble_may_be_mapped():
    members = np.stack([KERNELS, 1.5 * KERNELS])
    maps = jax.vmap(lambda kernels: gradient(network(nn.relu, kernels), "guided"))(members)
    np.testing.assert_allclose(maps, [gradient(network(nn.relu, m), "guided") for m in members], rtol=1e-4, atol=1e-5)


@both_rules
def test_weights_may_be_arguments_of_a_jitted_function_and_images_mapped(rule):
    @jax.jit
    def mapped(kernels, x):
        def explained(image, readout):
            function = with_rule(network(nn.relu, kernels), rule)
            return (function(image[None])[0] * readout).sum()

        return jax.vmap(jax.grad(explained))(x, READOUT)

    np.testing.assert_allclose(mapped(KERNELS, X), expected(rule), rtol=1e-5, atol=1e-6)


class Block(nn.Module):
    """A residual block as a step of a scan."""

    @nn.compact
    def __call__(self, x, _):
        return nn.relu(x + nn.BatchNorm(use_running_average=True)(nn.Conv(3, (3, 3))(x))), None


@both_rules
def test_flax_modules_may_be_scanned_and_checkpointed(rule):
    axes = {"params": 0, "batch_stats": 0}
    scanned = nn.scan(nn.remat(Block), variable_axes=axes, split_rngs={"params": True}, length=3)()
    variables = scanned.init(jax.random.key(0), X, None)
    layers = [jax.tree.map(lambda leaf: leaf[i], variables) for i in range(3)]  # noqa: B023

    def looped(x):
        for layer in layers:
            x, _ = Block().apply(layer, x, None)
        return x.mean((1, 2))

    ours = gradient(lambda x: scanned.apply(variables, x, None)[0].mean((1, 2)), rule)
    np.testing.assert_allclose(ours, gradient(looped, rule), rtol=1e-5, atol=1e-6)


@both_rules
def test_layers_may_be_scanned_and_checkpointed(rule):
    layer = jax.checkpoint(lambda x, kernel: (jnp.maximum(convolve(x, kernel), 0), None))
    function = lambda x: lax.scan(layer, x, KERNELS)[0].mean((1, 2))  # noqa: E731
    np.testing.assert_allclose(gradient(function, rule), expected(rule), rtol=1e-5, atol=1e-6)


def hard(x):
    return jnp.where(x > 1, 1.0, x)


NONLINEAR = {
    "gelu": nn.gelu,
    "exact gelu": functools.partial(nn.gelu, approximate=False),
    "silu": nn.silu,
    "elu": nn.elu,
    "selu": nn.selu,
    "celu": nn.celu,
    "softplus": nn.softplus,
    "soft_sign": nn.soft_sign,
    "mish": jax.nn.mish,
    "glu": lambda x: nn.glu(jnp.concatenate([x, x], -1)),
    "hard_tanh": nn.hard_tanh,
    "hard_silu": jax.nn.hard_silu,
    "squareplus": jax.nn.squareplus,
    "log_sigmoid": nn.log_sigmoid,
    "sparse_plus": jax.nn.sparse_plus,
    "abs": jnp.abs,
    "sin": jnp.sin,
    "sort": jnp.sort,
    "exp": jnp.exp,
    "integer_pow": lambda x: x**2,
    "square": jnp.square,
    "sign": lambda x: x * jnp.sign(x),
    "floor": jnp.floor,
    "cumprod": lambda x: jnp.cumprod(x, 1),
    "argmax": lambda x: x * jnp.argmax(x, -1, keepdims=True),
    "min": lambda x: jnp.minimum(x, 1.0),
    "reduce_min": lambda x: x - x.min(-1, keepdims=True),
    "select_n": lambda x: jnp.where(x > 0, -x, x),
    "gt in hard": hard,
    "mul": lambda x: x * x.transpose(0, 1, 2, 3)[::-1],
    "dot_general": lambda x: jnp.einsum("bhwc,bhwd->bhwd", x, x),
    "while": lambda x: lax.while_loop(lambda c: c.sum() > 0, lambda c: c - 1, x),
    "cond": lambda x: lax.cond(x.sum() > 0, jnp.negative, lambda x: x, x),
    "max": lambda x: jnp.maximum(x, -1.0),
    "maximum with an array": lambda x: jnp.maximum(x, X),
    "maximum with its negative": lambda x: jnp.maximum(x, -x),
    "reduce_max of a ReLU": lambda x: jnp.stack([x, jnp.zeros_like(x)]).max(0),
    "reduce_max of a leaky ReLU": lambda x: jnp.stack([x, 0.1 * x]).max(0),
    "mul of a stopped sign": lambda x: x * (1 + lax.stop_gradient(jnp.sign(x))) / 2,
    "select_n of a stopped sign": lambda x: jnp.where(lax.stop_gradient(jnp.sign(x)) > 0, x, 0),
    "pure_callback": lambda x: jax.pure_callback(np.sin, x, x),
}


@pytest.mark.parametrize("name", NONLINEAR)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint], ids=["plain", "jit", "checkpoint"])
def test_another_nonlinearity_beside_relus_is_refused_by_its_name(name, wrap):
    known = name.split()[-1] if name in {"exact gelu", "gt in hard"} else name.split()[0]
    known = "max" if known == "maximum" else known
    with pytest.raises(ValueError, match=rf"needs ReLUs: it has no rule for .*\b{known}\b.*saliency"):
        with_rule(lambda x: network(nn.relu)(wrap(NONLINEAR[name])(x)), "guided")(X)


def test_a_maximum_with_a_multiple_by_a_traced_slope_is_refused():
    leaky = lambda slope: with_rule(lambda x: jnp.maximum(x, slope * x), "guided")(X)  # noqa: E731
    assert leaky(0.1).shape == SHAPE
    with pytest.raises(ValueError, match="no rule for max in"):
        jax.jit(leaky)(0.1)


def test_another_nonlinearity_is_refused_in_a_loop_a_branch_and_a_custom_function():
    custom = jax.custom_vjp(lambda x: jnp.sin(x))
    custom.defvjp(lambda x: (x, x), lambda saved, g: (g,))
    ways = (
        lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=2)[0],
        lambda x: lax.scan(lambda c, y: (c, jnp.sin(y)), 0, x)[1],
        lambda x: lax.switch(1, [nn.relu, jnp.sin], x),
        custom,
    )
    for way in ways:
        with pytest.raises(ValueError, match="sin"):
            with_rule(lambda x: nn.relu(way(x)), "deconvolution")(X)  # noqa: B023


class Stage(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.gelu(nn.Conv(3, (3, 3), name="conv")(nn.relu(x)))


class Stages(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Stage(name="stage2")(nn.relu(x))


def test_the_layer_of_another_nonlinearity_is_named():
    variables = Stages().init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=r"integer_pow in gelu \(Stages/stage2\)"):
        with_rule(lambda x: Stages().apply(variables, x), "guided")(X)


def test_what_the_output_does_not_depend_on_is_not_refused():
    def forward(x):
        jnp.sin(x)
        return nn.relu(x) + lax.stop_gradient(jnp.sin(x))

    assert (jax.grad(lambda x: with_rule(forward, "guided")(x).sum())(X) == (X > 0)).all()


@pytest.mark.parametrize(
    "function", [jnp.negative, nn.softmax, lambda x: x + nn.relu(jnp.ones(3)), lambda x: nn.relu(X)]
)
def test_a_function_without_a_relu_on_its_way_is_refused(function):
    with pytest.raises(ValueError, match="guided back-propagation needs ReLUs: the function has no ReLU"):
        with_rule(function, "guided")(X)


def test_an_unknown_rule_and_integers_are_refused():
    with pytest.raises(ValueError, match="unknown rule 'guide'; did you mean 'guided'"):
        with_rule(nn.relu, "guide")
    with pytest.raises(ValueError, match="x must be floating point for a gradient, found uint8; normalise"):
        with_rule(nn.relu, "guided")(np.zeros((1, 2, 2, 1), np.uint8))


def normalised(norm):
    variables = norm.init(jax.random.key(0), X)
    return lambda x: norm.apply(variables, x, mutable=["batch_stats"])[0]


LISTED = {
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "softmax": nn.softmax,
    "log_softmax": nn.log_softmax,
    "logsumexp": lambda x: jax.nn.logsumexp(x, -1, keepdims=True),
    "masked softmax": lambda x: nn.softmax(x, where=np.arange(3) < 2),
    "batch norm": normalised(nn.BatchNorm(use_running_average=False)),
    "slow batch norm": normalised(nn.BatchNorm(use_running_average=False, use_fast_variance=False)),
    "running batch norm": normalised(nn.BatchNorm(use_running_average=True)),
    "layer norm": normalised(nn.LayerNorm()),
    "root mean square norm": normalised(nn.RMSNorm()),
    "group norm": normalised(nn.GroupNorm(num_groups=3)),
    "instance norm": normalised(nn.InstanceNorm()),
    "jnp.var": lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-3),
    "unit length": lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-3),
    "nn.max_pool": lambda x: nn.max_pool(x, (2, 2), padding="SAME"),
    "ops.max_pool": lambda x: ops.max_pool(x, stride=1),
    "global maximum": lambda x: x.max((1, 2), keepdims=True),
    "maxout of layers": lambda x: jnp.maximum(convolve(x, KERNELS[0]), convolve(x, KERNELS[1])),
    "maxout of halves": lambda x: jnp.maximum(*jnp.split(jnp.concatenate([x, x[::-1]], -1), 2, -1)),
    "barrier": lambda x: lax.optimization_barrier((x, 2 * x))[1],
    "maxout of channels": lambda x: jnp.maximum(x[..., :1], x[..., 1:]),
    "average pool": lambda x: nn.avg_pool(x, (2, 2), padding="SAME"),
    "dropout": lambda x: nn.Dropout(0.5, deterministic=False).apply({}, x, rngs={"dropout": jax.random.key(1)}),
    "resize": lambda x: jax.image.resize(x, (2, 7, 8, 3), "bilinear"),
    "gather": lambda x: x[:, np.array([0, 2])],
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"),
    "update": lambda x: x.at[:, 0].set(0.0).at[:, 1].add(2.0),
    "concatenation": lambda x: jnp.concatenate([x, -x, jnp.ones_like(x)], -1).sum(-1, keepdims=True),
    "half precision": lambda x: x.astype(jnp.bfloat16).astype(jnp.float32),
    "straight through": lambda x: x + lax.stop_gradient(jnp.round(x) - x),
    "stopped norm": lambda x: x / lax.stop_gradient(jnp.linalg.norm(x, axis=-1, keepdims=True)),
    "checkpoint name": lambda x: checkpoint_name(x, "features"),
    "statistics in a scan": lambda x: lax.scan(lambda c, _: (nn.standardize(c), None), x, None, length=2)[0],
}


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_operation_keeps_its_derivative(name):
    value, pull = jax.vjp(LISTED[name], X)
    passed = jax.grad(lambda x: with_rule(lambda x: nn.relu(LISTED[name](x)), "guided")(x).sum())(X)
    assert np.isfinite(passed).all()
    np.testing.assert_allclose(passed, pull(jnp.where(value > 0, 1, 0).astype(value.dtype))[0], rtol=1e-4, atol=1e-6)


@both_rules
def test_squeeze_and_excitation_agrees_with_relus_written_by_hand(rule):
    def scaled(relu, x):
        gate = nn.sigmoid(relu(x.mean((1, 2)) @ KERNELS[0, 0, 0]) @ KERNELS[1, 0, 0])
        return relu(relu(x) * gate[:, None, None]) @ KERNELS[2, 0, 0]

    ours = jax.grad(lambda x: with_rule(functools.partial(scaled, nn.relu), rule)(x).sum())(X)
    theirs = jax.grad(lambda x: scaled(reference(rule), x).sum())(X)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_function_with_its_own_derivative_and_no_relu_keeps_it():
    pool = jax.custom_vjp(lambda x: nn.max_pool(x, (2, 2), (2, 2)))
    pool.defvjp(lambda x: (pool(x), None), lambda saved, g: (jnp.full(SHAPE, 5.0),))
    np.testing.assert_array_equal(
        jax.grad(lambda x: with_rule(lambda x: pool(nn.relu(x)), "guided")(x).sum())(abs(X)), 5.0
    )


def test_a_variance_kept_from_being_negative_is_no_relu():
    # With the guided rule at that maximum, the variance's part of the gradient would be lost where it is negative.
    norm = LISTED["layer norm"]
    plain = jax.grad(lambda x: (norm(nn.relu(x)) ** 3).sum())(abs(X))
    positive = jnp.abs(X)
    g = jax.grad(lambda y: (norm(y) ** 3).sum())(positive)
    passed = jax.vjp(with_rule(lambda x: norm(nn.relu(x)), "guided"), positive)[1](3 * norm(positive) ** 2)[0]
    np.testing.assert_allclose(passed, jnp.where(g > 0, plain, 0), rtol=1e-4, atol=1e-5)


TINY = {
    "lenet5": ({}, (28, 28, 1)),
    "separable": ({}, (16, 16, 3)),
    "resnet20": ({"width": 12, "stage_sizes": (1, 2)}, (16, 16, 3)),
    "unet": ({"width": 10, "depth": 2}, (18, 14, 1)),
    "yolo_small": ({"width": 8, "stage_sizes": (1, 1), "stride": 8}, (16, 16, 3)),
}


@pytest.mark.parametrize("name", TINY)
def test_networks_of_the_package_agree_with_those_whose_relus_are_written_by_hand(name, monkeypatch):
    options, shape = TINY[name]
    net = models.create_model(name, num_classes=3, **options)
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    shapes = jax.eval_shape(lambda x: cnn.init(net, x, jax.random.key(0)), x)
    variables = jax.tree_util.tree_map_with_path(drawn, shapes)

    def map_of(wrap):
        def explained(x):
            out = wrap(lambda x: cnn.apply(net, variables, x))(x)
            return (out * np.random.default_rng(2).normal(size=out.shape)).sum()

        return jax.jit(jax.grad(explained))(x)

    ours = map_of(lambda function: with_rule(function, "guided"))
    relu, call = reference("guided"), jax.custom_jvp.__call__
    replaced = lambda self, *args, **kwargs: relu(*args) if self is jax.nn.relu else call(self, *args, **kwargs)  # noqa: E731
    monkeypatch.setattr(jax.custom_jvp, "__call__", replaced)
    monkeypatch.setattr(yolo, "leaky_relu", reference("guided", 0.1))
    theirs = map_of(lambda function: function)
    assert 0 < abs(theirs).max() < np.inf
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * abs(theirs).max())


@pytest.mark.parametrize("name", [name for name in models.MODELS if name != "linear"])
def test_each_network_of_the_package_has_no_other_nonlinearity_in_full_size(name):
    entry = models.MODELS[name]
    net, x = entry.build(num_classes=entry.classes), jax.ShapeDtypeStruct((2, *entry.input), jnp.float32)
    variables = jax.eval_shape(lambda x: cnn.init(net, x, jax.random.key(0)), x)
    jax.eval_shape(lambda variables, x: with_rule(lambda x: cnn.apply(net, variables, x), "guided")(x), variables, x)


@pytest.mark.parametrize("channels", [1, 6, 64, 256])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_every_form_of_a_convolution_is_linear(side, channels):
    for stride, outputs, groups in ((1, 4, 1), (2, 64, 1), (1, channels, channels), (2, channels, channels)):
        kernel = jax.ShapeDtypeStruct((side, side, channels // groups, outputs), jnp.float32)
        options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": groups}

        def convolved(kernel, x, stride=stride, options=options):
            layer = lambda x: nn.relu(dispatch.convolution(x, kernel, (stride, stride), "SAME", **options))  # noqa: E731
            return with_rule(layer, "guided")(x)

        for context in (contextlib.nullcontext(), dispatch.as_defined()):
            with context:
                jax.eval_shape(convolved, kernel, jax.ShapeDtypeStruct((4, 28, 28, channels), jnp.float32))


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize(("window", "stride"), [((2, 2), 2), ((3, 3), 2), ((3, 2), 1), ((5, 5), 3)])
def test_every_form_of_max_pooling_keeps_its_derivative(window, stride, channels):
    x = np.random.default_rng(0).normal(size=(2, 12, 10, channels)).astype(np.float32)
    pool = functools.partial(ops.max_pool, window=window, stride=stride)
    ours = jax.grad(lambda x: with_rule(lambda x: pool(nn.relu(x)), "guided")(x).sum())(x)
    np.testing.assert_array_equal(ours, jax.grad(lambda x: pool(nn.relu(x)).sum())(x))


def drawn(path, leaf):
    if leaf.ndim == 1:
        return np.full(leaf.shape, 1.0 if path[-1].key in ("scale", "var") else 0.1, np.float32)
    scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return np.random.default_rng(leaf.size).normal(scale=scale, size=leaf.shape).astype(np.float32)


def test_a_linear_network_is_refused():
    net = models.create_model("linear", num_classes=3)
    variables = cnn.init(net, jnp.zeros((1, 4, 4, 1)), jax.random.key(0))
    with pytest.raises(ValueError, match="no ReLU"):
        with_rule(lambda x: cnn.apply(net, variables, x), "guided")(jnp.zeros((1, 4, 4, 1)))
