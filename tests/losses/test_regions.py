import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnnlab import losses

pytestmark = pytest.mark.device

rows = lambda *words: np.array([[float(c) for c in word] for word in words])  # noqa: E731
# Masks and predictions from the Dice and Tversky tests of Keras 3, losses_test.py
TRUTH, GUESS = rows("1010", "0101", "1010", "0101"), rows("0101", "1011", "0101", "1011")


def two(guess, truth):
    """Returns probabilities and labels of one image with two classes, from the foreground's probabilities and mask."""
    return jnp.stack([1 - jnp.asarray(guess), jnp.asarray(guess)], -1)[None], jnp.asarray(truth, jnp.int32)[None]


def test_dice_and_tversky_equal_keras():
    foreground = functools.partial(losses.tversky, *two(GUESS, TRUTH), classes=(1,))
    assert losses.dice(*two(GUESS, TRUTH), classes=(1,)).item() == pytest.approx(0.7777777, abs=1e-6)
    assert foreground(alpha=0.2, beta=0.8).item() == pytest.approx(0.7619047, abs=1e-6)
    assert foreground(alpha=0.5, beta=0.5).item() == pytest.approx(0.7777777, abs=1e-6)


def test_dice_of_sigmoids_equals_monai():
    guess = jax.nn.sigmoid(jnp.array([[1.0, -1], [-1, 1]]))
    assert losses.dice(*two(guess, [[1, 0], [1, 1]]), classes=(1,)).item() == pytest.approx(0.307576, abs=1e-6)


def test_dice_of_a_softmax_equals_monai():
    logits = jnp.array([[[-1.0, 0, 1], [1, 0, -1]], [[0, 0, 0], [0, 0, 0]]]).swapaxes(1, 2)
    labels = jnp.array([[1, 0, 0], [1, 1, 0]])
    value = losses.dice(jax.nn.softmax(logits, -1), labels).mean().item()
    assert value == pytest.approx(0.383713, abs=2e-5)  # MONAI adds 1e-4 to the sums, which is 1 in 30,000


def test_jaccard_is_one_minus_the_intersection_over_the_union():
    # 8 true and 10 predicted pixels share 2
    assert losses.jaccard(*two(GUESS, TRUTH), classes=(1,)).item() == pytest.approx(1 - 2 / 16)


def test_focal_equals_torchvision_with_alpha_as_the_weight_of_a_class(goldens):
    z, y = (np.array(goldens["bce_logits"][name], np.float32) for name in "zy")
    got = functools.partial(losses.focal, jnp.stack([jnp.zeros_like(z), z], -1), y.astype(int))
    for gamma in (0, 2.0):
        np.testing.assert_allclose(got(gamma=gamma), goldens["sigmoid_focal"][f"a-1_g{gamma}"], rtol=2e-5)
        weight = losses.class_weights(y.astype(int), (0.75, 0.25))
        np.testing.assert_allclose(weight * got(gamma=gamma), goldens["sigmoid_focal"][f"a0.25_g{gamma}"], rtol=2e-5)


def test_focal_of_several_classes_equals_keras():
    logits = jnp.array([[8.0, 1, 1], [0, 9, 1], [2, 3, 5]])
    want = np.array([1.5096224e-9, 2.4136547e-11, 1.0360638e-3])  # Keras multiplies by alpha = 1/4
    np.testing.assert_allclose(losses.focal(logits, jnp.arange(3)) / 4, want, rtol=5e-4)  # Keras rounds 1 - p


def test_weighted_cross_entropy_equals_torch(goldens):
    g = goldens["ce"]
    labels = jnp.array(g["labels"])
    weight = losses.class_weights(labels, g["weights"])
    value = weight * losses.cross_entropy(jnp.array(g["z"]), labels)
    np.testing.assert_allclose(value, g["weighted_none"], rtol=1e-5)
    assert (value.sum() / weight.sum()).item() == pytest.approx(g["weighted_mean"], rel=1e-5)


def of_logits(name):
    """Returns a loss by name as a function `(logits, labels) -> [...]`."""
    if name in losses.REGIONS:
        return lambda logits, labels: losses.REGIONS[name](jax.nn.softmax(logits), labels)
    if name == "binary_cross_entropy":
        return lambda logits, labels: losses.binary_cross_entropy(logits[..., 0], labels)
    return getattr(losses, name)


EVERY = [*losses.REGIONS, "cross_entropy", "focal", "binary_cross_entropy"]
every = pytest.mark.parametrize("name", EVERY)


@every
def test_an_ignored_pixel_changes_neither_value_nor_gradient(name):
    logits = jax.random.normal(jax.random.key(0), (1, 4, 2))
    labels = jnp.array([[0, 1, 1, -1]])
    value, gradient = jax.value_and_grad(lambda z: of_logits(name)(z, labels).sum())(logits)
    assert value.item() == pytest.approx(of_logits(name)(logits[:, :3], labels[:, :3]).sum().item(), rel=1e-6)
    assert (gradient[:, 3] == 0).all()
    assert (gradient[:, :3] != 0).any()


@every
@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [0, 0, 0, 0], [-1, -1, -1, -1]])
def test_gradients_at_a_thousand_are_finite(name, labels):
    logits = jnp.array([[[1e3, -1e3], [1e3, -1e3], [-1e3, 1e3], [0, 0]]])
    value, gradient = jax.value_and_grad(lambda z: of_logits(name)(z, jnp.array([labels])).sum())(logits)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("name", losses.REGIONS)
def test_a_class_without_a_true_pixel_is_left_out_and_an_image_without_any_gives_0(name):
    probs = jnp.array([[[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]] * 2)
    value = losses.REGIONS[name](probs, jnp.array([[0, 1], [-1, -1]]))
    chosen = losses.REGIONS[name](probs, jnp.array([[0, 1]] * 2), classes=(0, 1))
    assert value[0].item() == pytest.approx(chosen[0].item())
    assert value[0] > 0
    assert value[1] == 0


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"classes must be one or more numbers in 0..1, found \(2,\)"):
        losses.dice(*two(GUESS, TRUTH), classes=(2,))


def test_border_weights_of_many_shapes_equal_distances_over_the_whole_mask():
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(90, 120)), 3) > 0.03
    shapes, number = ndimage.label(mask)
    distances = np.sort([ndimage.distance_transform_edt(shapes != k) for k in range(1, number + 1)], 0)
    expected = 1 + 10 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * 3.0**2))
    got = losses.border_weights(mask, height=10, width=3)
    np.testing.assert_allclose(got[~mask], expected[~mask], rtol=1e-6)


def test_border_weights_grow_where_the_two_nearest_shapes_are_close():
    mask = np.zeros((5, 12), int)
    mask[:, :3], mask[:, 5:8], mask[2, 11] = 1, 1, -1
    weight = losses.border_weights(mask, height=10, width=5)
    # d1 + d2 is 1 + 2 in the gap of two pixels, and 4 + 9 at the right end
    assert weight[0, 3] == pytest.approx(1 + 10 * np.exp(-9 / 50))
    assert weight[0, 11] == pytest.approx(1 + 10 * np.exp(-(13**2) / 50), rel=1e-5)
    assert weight[0, 0] == 1
    assert weight[2, 11] == 0


def test_a_single_shape_has_no_gap():
    assert (losses.border_weights(np.eye(1, 5, dtype=int)) == 1).all()
