import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from sklearn.metrics import log_loss

from cnnlab.calibration import CALIBRATIONS, choose_calibration, fit_calibration
from cnnlab.calibration.choice import FOLDS, PENALTY, with_floor


def drawn(n, sharpness, seed=0):
    """Returns probabilities `[n, 3]` that are sharper than those of the labels, and the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 3
    labels = (rng.random((n, 1)) > scipy.special.softmax(logits, 1).cumsum(1)).sum(1)
    return scipy.special.softmax(sharpness * logits, 1), np.minimum(labels, 2)


def test_the_floor_is_the_rule_of_succession():
    probs = with_floor(np.array([[1.0, 0, 0], [0.5, 0.5, 0]]), 98)
    assert probs[0] == pytest.approx([99 / 100, 1 / 200, 1 / 200])  # wrong with 1 in 100, in one of two classes
    assert probs.sum(1) == pytest.approx(1)


def test_the_penalised_temperature_equals_scipys_minimum():
    probs, labels = drawn(150, 2.0)

    def loss(x):
        return 150 * log_loss(labels, scipy.special.softmax(x * np.log(probs), 1)) + PENALTY / 2 * (x - 1) ** 2

    want = scipy.optimize.minimize_scalar(loss, bounds=(0.1, 3), method="bounded", options={"xatol": 1e-10}).x
    fitted = CALIBRATIONS["temperature"].fit(probs, labels, penalty=PENALTY)
    assert 1 / fitted.temperature == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("method", ["temperature", "vector", "platt"])
def test_a_large_penalty_leads_to_the_identity(method):
    probs, labels = drawn(400, 2.0)
    np.testing.assert_allclose(CALIBRATIONS[method].fit(probs, labels, penalty=1e9).apply(probs), probs, atol=1e-5)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_a_penalty_has_an_optimum_on_few_faultless_examples_of_two_classes_of_three(method):
    probs, labels = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]] * 5), np.array([0, 1] * 5)
    result = CALIBRATIONS[method].fit(probs, labels, penalty=PENALTY).apply(probs)
    assert (np.take_along_axis(result, labels[:, None], 1) > 0.7).all()


def test_a_step_of_few_examples_follows_the_identity():
    probs, labels = np.repeat([0.2, 0.6], [8, 2]), np.repeat([0, 1], [8, 2])
    fitted = CALIBRATIONS["isotonic"].fit(np.stack([1 - probs, probs], 1), labels, penalty=1.0)
    # One pseudo-example each, with the outcomes .2 and .6: (0 + .2) / 9 and (2 + .6) / 3.
    assert fitted.apply(np.array([[0.8, 0.2], [0.4, 0.6]]))[:, 1] == pytest.approx([0.2 / 9, 2.6 / 3])


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_what_is_too_sure_is_calibrated_and_what_is_calibrated_is_left_alone(method):
    calibration, quality = choose_calibration(method, *drawn(2000, 2.0))
    assert calibration is not None
    assert 0 < quality.low < quality.gain < quality.high
    calibration, quality = choose_calibration(method, *drawn(2000, 1.0))
    assert calibration is None
    assert quality.low <= 0
    assert "is not kept" in quality.sentence()


def test_the_interval_is_students_of_the_gains_of_held_out_examples():
    probs, labels = np.tile([0.9, 0.1], (400, 1)), (np.arange(400) % 4 == 0).astype(int)
    fold = np.random.default_rng(0).permutation(400) % FOLDS
    after = np.empty(400)
    for number in range(FOLDS):
        others = fold != number
        fitted = CALIBRATIONS["temperature"].fit(probs[others], labels[others], penalty=PENALTY)
        after[~others] = with_floor(fitted.apply(probs[0]), others.sum())[0]
    gains = np.where(labels, np.log((1 - after) / 0.1), np.log(after / 0.9))
    want = scipy.stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    quality = choose_calibration("temperature", probs, labels)[1]
    assert (quality.low, quality.high) == pytest.approx((want.low, want.high))


def test_one_wrong_answer_does_not_make_a_network_certain():
    top = np.random.default_rng(0).uniform(0.7, 0.99, 156)
    probs, labels = np.stack([top, 1 - top], 1), np.zeros(156, int)
    probs[0] = [0.49, 0.51]  # the only mistake, a close one
    with pytest.warns(UserWarning, match="rests on 1 wrong"):
        plain = fit_calibration("temperature", probs, labels)
    careful = CALIBRATIONS["temperature"].fit(probs, labels, penalty=PENALTY)
    assert plain.temperature < 0.2 < careful.temperature
    assert with_floor(careful.apply(probs), 156).min() >= 1 / 158
