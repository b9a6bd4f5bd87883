"""Occlusion and RISE by hand, on a linear network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, create_model, explain
from cnnlab.data import InputSpec
from cnnlab.tasks import Classification

WEIGHTS = np.array([[1.0, -2.0, 0.0, 4.0], [0.0, 3.0, 1.0, 0.0], [2.0, 0.0, 0.0, -1.0], [0.0, 1.0, 5.0, 0.0]])


def linear():
    model = create_model("linear", num_classes=2)
    kernel = jnp.stack([jnp.asarray(WEIGHTS.ravel()), jnp.zeros(16)], -1)
    params = {"dense": {"kernel": kernel, "bias": jnp.zeros(2)}}
    return Trained({"params": params}, model, Classification(), InputSpec((4, 4), classes="ab"))


IMAGE = np.random.default_rng(0).random((1, 4, 4, 1)).astype(np.float32)


def test_occlusion_by_single_pixels_is_each_pixels_share_of_a_linear_logit():
    result = explain.occlusion(linear(), IMAGE, target=0, window=1, stride=1, baseline=0.0)
    np.testing.assert_allclose(result.map[0], WEIGHTS * IMAGE[0, ..., 0], atol=1e-5)


def test_overlapping_windows_are_averaged_and_cut_off_at_the_border():
    share, expected, cover = WEIGHTS * IMAGE[0, ..., 0], np.zeros((4, 4)), np.zeros((4, 4))
    for row in (0, 2):
        for column in (0, 2):  # three pixels wide, so the second window is cut off
            expected[row : row + 2, column : column + 3] += share[row : row + 2, column : column + 3].sum()
            cover[row : row + 2, column : column + 3] += 1
    result = explain.occlusion(linear(), IMAGE, target=0, window=(2, 3), stride=2, baseline=0.0)
    np.testing.assert_allclose(result.map[0][:, :4], (expected / cover), atol=1e-5)


def test_rise_ranks_the_pixels_of_a_linear_logit_by_their_share():
    result = explain.rise(linear(), IMAGE, target=0, masks=4000, cells=4, baseline=0.0)
    share = WEIGHTS * IMAGE[0, ..., 0]
    assert np.corrcoef(result.map[0].ravel(), share.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 5}, "window must fit the image of 4x4 pixels"),
        ({"window": 2, "stride": 3}, "stride must be at most the window"),
        ({"window": 0}, "window must be a whole number of pixels"),
    ],
)
def test_a_window_that_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        explain.occlusion(linear(), IMAGE, target=0, **options)


def test_rise_names_an_option_out_of_range():
    with pytest.raises(ValueError, match="masks must be 2 or more"):
        explain.rise(linear(), IMAGE, masks=1)


def test_the_chunk_of_masks_changes_nothing(monkeypatch):
    whole = explain.occlusion(linear(), IMAGE, target=0, window=2, stride=1).map
    monkeypatch.setattr("cnnlab.explain.perturbation._BATCH_PIXELS", 2 * 16)
    np.testing.assert_allclose(explain.occlusion(linear(), IMAGE, target=0, window=2, stride=1).map, whole, atol=1e-5)


def test_all_masks_of_a_pass_share_its_dropout_masks():
    model = create_model("lenet5", num_classes=2, dropout=0.5)
    images = jnp.zeros(
        (1, 28, 28, 1)
    )  # covered by zeros it stays the same, so only other dropout masks could change it
    trained = Trained(model.init(jax.random.key(0), images), model, Classification(), InputSpec((28, 28), classes="ab"))
    with pytest.warns(UserWarning, match="zero everywhere"):
        result = explain.occlusion(trained, images, target=0, mc_samples=3)
    assert not result.map.any()
    assert not result.spread.any()
