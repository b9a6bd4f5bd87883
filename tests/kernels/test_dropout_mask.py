"""Tests of dropout: the statistics of the mask, and its effect on arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.kernels.dropout_mask import drop, random_words

stats = pytest.importorskip("scipy.stats")
KEYS = jax.random.split(jax.random.key(3), 4)


@pytest.mark.parametrize("key", KEYS)
def test_every_byte_of_the_random_words_is_uniform(key):
    words = np.asarray(random_words(key, (1 << 18,)))
    for shift in (0, 8, 16, 24):
        counts = np.bincount(words >> shift & 255, minlength=256)
        assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4


@pytest.mark.parametrize("lag", [1, 2, 32, 84, 120, 1024])
def test_neighbouring_words_are_independent(lag):
    top = np.asarray(random_words(KEYS[0], (1 << 18,))) >> 28
    pairs = np.bincount(16 * top[:-lag] + top[lag:], minlength=256)
    assert stats.chisquare(pairs).pvalue > 1e-4


def test_bits_of_one_word_and_of_two_keys_are_uncorrelated():
    n = 1 << 16
    words = np.stack([np.asarray(random_words(jax.random.fold_in(KEYS[0], t), (n,))) for t in range(2)])
    bits = (words[:, :, None] >> np.arange(32) & 1).transpose(0, 2, 1).reshape(64, n)
    correlation = np.corrcoef(bits) - np.eye(64)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(n)  # of 2,016 pairs


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.3, 0.5, 0.9])
def test_the_share_dropped_is_the_rate(rate):
    n = 1 << 20
    dropped = int((drop(jnp.ones(n), KEYS[1], rate) == 0).sum())
    assert stats.binomtest(dropped, n, rate).pvalue > 1e-4


def test_masks_of_many_keys_vary_as_a_binomial():
    counts = jax.vmap(lambda key: (drop(jnp.ones(400), key, 0.3) > 0).sum())(jax.random.split(KEYS[2], 4000))
    assert np.var(counts) == pytest.approx(400 * 0.3 * 0.7, rel=0.1)


def test_shared_axes_drop_whole_feature_maps():
    maps = np.asarray(drop(jnp.ones((50, 4, 5, 6)), KEYS[0], 0.5, shared=(1, -2))).reshape(50, 20, 6)
    assert (maps == maps[:, :1]).all()
    assert set(np.unique(maps)) == {0, 2}


@pytest.mark.parametrize(("rate", "value"), [(0, 1), (1, 0)])
def test_the_ends_of_the_range_keep_all_and_nothing(rate, value):
    assert (drop(jnp.ones(9), KEYS[0], rate) == value).all()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_zero_to_one_is_refused(rate):
    with pytest.raises(ValueError, match="dropout rate must lie in 0..1, found"):
        drop(jnp.ones(9), KEYS[0], rate)


def test_the_dropout_layer_is_flaxs_with_another_mask():
    import flax.linen as nn

    layer = cnnlab.nn.dropout(0.5, deterministic=False, name="dropout")
    x = jnp.ones((2, 1000))
    assert isinstance(layer, nn.Dropout)
    assert set(np.unique(layer.apply({}, x, rngs={"dropout": KEYS[0]}))) == {0, 2}
    assert (layer.clone(deterministic=None).apply({}, x, deterministic=True) == x).all()


@pytest.mark.parametrize("rate", [0.9999999999, np.nextafter(1, 0), 5e-324, 1e-12])
def test_rates_next_to_0_and_1_draw_a_mask(rate):
    out = np.asarray(drop(jnp.ones(9), KEYS[0], rate))
    assert (out == (0 if rate > 0.5 else 1)).all()
