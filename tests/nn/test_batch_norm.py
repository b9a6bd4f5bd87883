import flax.linen
import jax
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.nn.taps import tap

X = np.random.default_rng(0).normal(size=(4, 3, 3, 5)).astype(np.float32)
OURS, FLAX = nn.BatchNorm(), flax.linen.BatchNorm(momentum=0.9)
VARIABLES = FLAX.init(jax.random.key(0), X, use_running_average=True)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("mask", [None, np.arange(4).reshape(4, 1, 1, 1) < 3])
def test_batch_norm_is_that_of_flax_in_value_averages_and_gradients(inference, mask):
    def loss(norm, x, variables):
        y, updated = norm.apply(variables, x, use_running_average=inference, mask=mask, mutable=["batch_stats"])
        return (y**3).sum(), updated

    ours, flax = (jax.value_and_grad(loss, (1, 2), has_aux=True)(norm, X, VARIABLES) for norm in (OURS, FLAX))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, flax)


def test_a_tap_sees_a_batch_norm_once():
    seen = []
    with tap(lambda module, call, args, kwargs: (seen.append(type(module).__name__), call(*args, **kwargs))[1]):
        OURS.apply(VARIABLES, X, use_running_average=True)
    assert seen == ["BatchNorm"]


def test_the_backward_pass_needs_one_array_of_the_size_of_the_input():
    def stored(norm):
        _, backward = jax.vjp(lambda x: norm.apply(VARIABLES, x, mutable=["batch_stats"])[0], X)
        return sum(leaf.size == X.size for leaf in jax.tree.leaves(backward))

    assert (stored(nn.BatchNorm(False)), stored(flax.linen.BatchNorm(False))) == (1, 2)


def test_inference_computes_nothing_again():
    program = jax.make_jaxpr(lambda x: OURS.apply(VARIABLES, x, use_running_average=True))(X)
    assert not any("prevent_cse" in equation.params for equation in program.eqns)
