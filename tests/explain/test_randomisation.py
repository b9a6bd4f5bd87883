"""The model-randomisation test."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from cnnlab.data import InputSpec
from cnnlab.explain.randomisation import cascade, parameter_layers, randomise, rank_correlation
from cnnlab.tasks import Classification
from cnnlab.trained import Trained, logits


class Named(nn.Module):
    """Layers whose alphabetical order is not that of the calls."""

    @nn.compact
    def __call__(self, x, use_running_average=True):
        x = nn.Conv(4, (3, 3), name="stem")(x)
        x = nn.BatchNorm(use_running_average=use_running_average, name="norm")(x)
        return nn.Dense(2, name="head")(nn.relu(x).mean((1, 2)))


IMAGES = jax.random.uniform(jax.random.key(0), (2, 6, 6, 1))


def network():
    return Trained(Named().init(jax.random.key(1), IMAGES), Named(), Classification(), InputSpec((6, 6), classes="ab"))


def saliency(trained, images):
    return jax.grad(lambda x: logits(trained, x)[:, 0].sum())(images)[..., 0]


def test_ranks_correlate_as_in_scipy_with_ties_too():
    first, second = np.random.default_rng(0).integers(0, 9, (2, 3, 7, 5)).astype(np.float32)
    theirs = [scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), theirs, atol=1e-6)


def test_constant_maps_correlate_with_each_other_only():
    zero, ramp = jnp.zeros((2, 2)), jnp.arange(4.0).reshape(2, 2)
    got = [rank_correlation(*maps).item() for maps in ((zero, zero + 3), (zero, ramp), (ramp, zero))]
    assert got == [1, 0, 0]


def test_random_parameters_keep_their_mean_and_standard_deviation_and_batch_statistics_stay():
    trained = network()
    big = trained.replace(variables={"params": {"w": {"a": 5 + 2 * jax.random.normal(jax.random.key(2), (100, 100))}}})
    redrawn = randomise(big, jax.random.key(3)).variables["params"]["w"]["a"]
    assert abs(redrawn.mean() - 5) < 0.1
    assert abs(redrawn.std() - 2) < 0.1
    kept = randomise(trained, jax.random.key(3)).variables["batch_stats"]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, kept, trained.variables["batch_stats"]))


def test_a_layer_is_redrawn_alone_with_the_numbers_of_the_whole():
    one, all_ = (randomise(network(), jax.random.key(3), layers=layers) for layers in (["head"], None))
    one, all_, old = (each.variables["params"] for each in (one, all_, network()))
    assert jnp.array_equal(one["head"]["kernel"], all_["head"]["kernel"])
    assert jnp.array_equal(one["stem"]["kernel"], old["stem"]["kernel"])


def test_the_cascade_begins_at_the_last_layer_that_the_network_calls():
    trained = jax.tree.map(jnp.asarray, network())  # which sorts the names
    assert parameter_layers(trained, IMAGES.shape) == ("stem", "norm", "head")
    maps = saliency(trained, IMAGES)
    got = cascade(saliency, trained, IMAGES, maps, jax.random.key(4))
    assert list(got) == ["head", "norm", "stem"]
    last = saliency(randomise(trained, jax.random.key(4)), IMAGES)
    np.testing.assert_allclose(got["stem"], rank_correlation(abs(maps), abs(last)), atol=1e-6)
