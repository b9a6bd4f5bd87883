import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import nn
from cnnlab.models import create_model
from cnnlab.models.signal import TCN, TemporalBlock


def dilated(x, conv, dilation, before):
    """Computes a convolution over time of `[T, C]` with a bias, step by step."""
    kernel, bias = np.asarray(conv["conv"]["kernel"])[0], np.asarray(conv["conv"]["bias"])
    out = np.tile(bias, (len(x), 1)).astype(np.float64)
    for t in range(len(x)):
        for i, weights in enumerate(kernel):
            if 0 <= (s := t - before + i * dilation) < len(x):
                out[t] += x[s] @ weights
    return out


@pytest.mark.parametrize(("causal", "before"), [(True, 4), (False, 2)])
def test_a_block_adds_two_dilated_convolutions_to_its_input(causal, before):
    block = TemporalBlock(3, dilation=2, causal=causal)
    x = np.random.default_rng(0).normal(size=(12, 3))
    out, variables = block.init_with_output(jax.random.key(0), jnp.array(x[None, None]))
    params = variables["params"]
    y = np.maximum(dilated(x, params["conv1"], 2, before), 0)
    y = np.maximum(dilated(y, params["conv2"], 2, before), 0)
    np.testing.assert_allclose(out[0, 0], np.maximum(x + y, 0), atol=1e-5)


@pytest.mark.parametrize(("causal", "seen"), [(True, (-12, 0)), (False, (-6, 6))])
def test_an_output_depends_on_the_samples_of_the_receptive_field_alone(causal, seen):
    network = create_model("tcn_steps", num_classes=1, features=16, dilations=(1, 2), causal=causal)
    x = jnp.array(np.random.default_rng(1).normal(size=(1, 1, 40, 1)), jnp.float32)
    variables = jax.jit(network.init)(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda x: nn.apply(network, variables, x)[0, 0, 20, 0]))(x)[0, 0, :, 0]
    places = np.flatnonzero(np.asarray(gradient)) - 20
    assert (places[0], places[-1]) == seen  # 1 + 2 (3 - 1) (1 + 2) = 13 samples


def test_the_summary_reads_the_receptive_field_of_the_papers_formula():
    rows = cnnlab.summary(TCN(1, features=2, kernel=2, dilations=(1, 2, 4, 8), pooled=False), (1, 64, 1)).rows
    assert rows[-1].fields[1].size == 1 + 2 * (2 - 1) * (1 + 2 + 4 + 8)


def test_steps_are_predicted_for_signals_of_any_length():
    network = create_model("tcn_steps", num_classes=2, features=4)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 1, 32, 1)))
    longer = jax.eval_shape(lambda v, x: nn.apply(network, v, x), variables, jnp.zeros((3, 1, 77, 1)))
    assert longer.shape == (3, 1, 77, 2)


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({}, (1, 8, 8, 1), "image of height 1"),
        ({"dilations": ()}, (1, 1, 8, 1), "1 or more"),
        ({"kernel": 4, "causal": False}, (1, 1, 8, 1), "must be odd"),
    ],
)
def test_a_network_that_fits_no_signal_says_why(options, shape, words):
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(TCN(2, **options).init, jax.random.key(0), jnp.zeros(shape))
