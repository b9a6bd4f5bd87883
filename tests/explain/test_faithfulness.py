"""Faithfulness scores of a linear network, whose curves are known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.explain.faithfulness import deletion, infidelity, insertion, road
from cnnlab.explain.imputation import impute

WEIGHTS = jnp.array([[4.0, 3.0], [2.0, 1.0]])
X = jnp.ones((1, 2, 2, 1))
TRUE, REVERSED, ZERO = WEIGHTS[None], -WEIGHTS[None], jnp.zeros((1, 2, 2))
MAPS = jnp.stack([TRUE, REVERSED, ZERO])
KEYS = jax.random.split(jax.random.key(0), 1)


def value(x):
    return (x[..., 0] * WEIGHTS).sum((-2, -1))


def test_the_deletion_of_a_linear_network_is_the_area_of_its_remaining_weights():
    # the true map leaves 10, 6, 3, 1, 0 of the target, the reversed one 10, 9, 7, 4, 0; trapezoids of width 1/4
    assert deletion(value, X, MAPS, steps=4)[:, 0].tolist() == [15 / 4, 25 / 4, 15 / 4]


def test_an_insertion_ends_at_the_image_and_prefers_the_true_map():
    # a constant image equals its blur, so only the part that is not constant counts
    x = X.at[0, 0, 0, 0].set(2.0)
    true, wrong, _ = insertion(value, x, MAPS, steps=4)[:, 0]
    assert true > wrong
    assert insertion(value, X, MAPS, steps=4)[:, 0].tolist() == [10, 10, 10]


def test_parts_that_do_not_divide_the_pixels_are_weighted_by_their_width():
    # 3 parts of 4 pixels end after 0, 1, 3 and 4 pixels, where 10, 6, 1 and 0 are left
    assert deletion(value, X, MAPS, steps=3)[0, 0] == (8 + 2 * 3.5 + 0.5) / 4


def test_a_channel_has_its_own_baseline():
    x = jnp.ones((1, 1, 1, 3))
    ends = deletion(lambda x: x.sum((-3, -2, -1)), x, jnp.zeros((1, 1, 1, 1)), steps=1, baseline=jnp.array([1.0, 2, 3]))
    assert ends.item() == (3 + 6) / 2


def test_the_gradient_of_a_linear_network_predicts_noise_exactly_whatever_its_scale():
    scores = infidelity(value, X, jnp.stack([TRUE, -1e-20 * TRUE, ZERO]), KEYS)[:, 0]
    np.testing.assert_allclose(scores[:2], 0, atol=1e-9)
    assert scores[2] > 0.05  # the variance of the target: 0.1^2 (16 + 9 + 4 + 1) = 0.3, estimated


def test_road_is_half_the_mean_difference_of_the_target_without_the_least_and_without_the_most_important_pixels():
    x = jnp.array([[[[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]]]])
    by_value = x[None, ..., 0]

    def bright(x):
        return x.sum((-3, -2, -1))

    score = road(bright, x, by_value, KEYS, percentiles=(80,), noise=0)  # 6 - ceil(5 * .8) = 2 pixels go
    # without 16 and 32 both become 8; without 1 and 2 both become 4
    np.testing.assert_allclose(score.item(), ((63 - 3 + 8) - (63 - 48 + 16)) / 2, rtol=1e-5)


def test_a_constant_map_has_no_most_important_pixels():
    x = jax.random.normal(jax.random.key(1), (1, 2, 2, 1))
    assert road(value, x, MAPS, KEYS)[2, 0] == 0


def test_imputed_pixels_are_the_weighted_mean_of_their_neighbours():
    x = jax.random.normal(jax.random.key(2), (2, 12, 9, 3))
    missing = jax.random.uniform(jax.random.key(3), (2, 12, 9)) < 0.8
    got = impute(x, missing, tolerance=1e-7)
    kernel, pad = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]])[..., None] / 12, ((1, 1), (1, 1), (0, 0))
    for image, original, hole in zip(np.asarray(got), np.asarray(x), np.asarray(missing), strict=True):
        padded, inside = np.pad(image, pad), np.pad(np.ones_like(image), pad)
        for i, j in np.argwhere(hole):
            window = np.s_[i : i + 3, j : j + 3]
            mean = (padded[window] * kernel).sum((0, 1)) / (inside[window] * kernel).sum((0, 1))
            np.testing.assert_allclose(image[i, j], mean, atol=1e-5)
        np.testing.assert_array_equal(image[~hole], original[~hole])


@pytest.mark.parametrize("missing", [True, False])
def test_imputation_of_all_or_no_pixels_is_finite(missing):
    got = impute(X, jnp.full((1, 2, 2), missing))
    assert got.ravel().tolist() == [0.0 if missing else 1.0] * 4
