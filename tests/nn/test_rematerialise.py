import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import nn as cnn
from cnnlab.nn.rematerialise import rematerialised
from cnnlab.training import create_optimizer, create_state, train_step


def stepped(network, images, batch, **options):
    optimizer = create_optimizer(cnnlab.Optimizer(), 10)
    state = create_state(network, optimizer, images[:1], jax.random.key(0))
    own = {"network": network, "task": cnnlab.tasks.Classification(), "optimizer": optimizer, "key": jax.random.key(1)}
    program = cnnlab.jit(lambda state: train_step(state, batch, **own, **options)).lower(state).compile()
    return program(state), program.memory_analysis().temp_size_in_bytes


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    return {"image": images, "label": np.arange(8) % 3}


@pytest.fixture(scope="module")
def steps(batch):
    network = cnnlab.create_model("resnet8", num_classes=3)
    return [stepped(network, batch["image"], batch, remat=remat) for remat in (False, True)]


def test_a_step_is_the_same_with_activations_computed_again(steps):
    (plain, _), (again, _) = steps
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, again)


def test_activations_that_are_computed_again_take_no_memory(steps):
    (_, plain), (_, again) = steps
    assert again < 0.8 * plain


class Shared(nn.Module):
    """One dropout and one dense layer, called twice, with a positional switch."""

    @nn.compact
    def __call__(self, x, *, deterministic=True):
        dense, norm = nn.Dense(4), nn.BatchNorm(use_running_average=deterministic)
        for _ in range(2):
            x = nn.Dropout(0.5)(norm(dense(x)), deterministic)
        return x


def test_layers_with_switches_and_random_masks_are_called_again_alike():
    x = jnp.arange(12.0).reshape(3, 4)
    variables = Shared().init(jax.random.key(0), x)
    options = {"train": True, "rngs": {"dropout": jax.random.key(1)}, "mutable": ["batch_stats"]}

    def total(params):
        logits, _ = cnn.apply(Shared(), variables | {"params": params}, x, **options)
        return (logits**2).sum()

    expected = jax.value_and_grad(total)(variables["params"])
    with rematerialised():
        found = jax.value_and_grad(total)(variables["params"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), expected, found)
