import collections

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics

from cnnlab.metrics.bootstrap import bootstrap_interval
from cnnlab.metrics.calibration import errors as calibration
from cnnlab.metrics.calibration.binning import assign
from cnnlab.metrics.calibration.brier import brier_parts
from cnnlab.plots.reliability import reliability_diagram


@pytest.fixture(scope="module")
def guesses():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), 500)
    return probs, rng.integers(0, 4, 500)


def test_ece_of_equal_mass_by_hand():
    # The halves by rank are .5 .6 and .7 .9; their gaps are |1/2 - .55| and |1 - .8|, with a weight of 1/2 each.
    confidence, correct = np.array([0.9, 0.5, 0.7, 0.6]), np.array([1, 1, 1, 0])
    ece = calibration.expected_calibration_error(confidence, correct, 2, binning="mass")
    assert ece == pytest.approx(0.05 / 2 + 0.2 / 2)


def test_the_first_bins_of_equal_mass_take_the_remainder():
    assert np.bincount(assign(np.linspace(0.1, 0.9, 11), 4, "mass")).tolist() == [3, 3, 3, 2]


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_exact_ones_or_zeros_can_fill_a_bin_of_their_own(certain):
    confidence = np.r_[np.linspace(0.4, 0.6, 10), np.full(90, certain)]
    index = assign(confidence, 10, "mass")
    assert len(set(index[10:])) == 1
    assert set(index[10:]).isdisjoint(index[:10])
    assert np.sort(calibration.reliability(confidence, confidence > 0.5, 10, binning="mass").count).tolist() == [10, 90]


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_the_order_of_the_examples_does_not_matter(binning):
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(0, 8, 100) / 7, rng.integers(0, 2, 100)
    want = calibration.expected_calibration_error(confidence, correct, binning=binning)
    for _ in range(5):
        order = rng.permutation(100)
        got = calibration.expected_calibration_error(confidence[order], correct[order], binning=binning)
        assert got == pytest.approx(want)


def test_mce_is_the_gap_of_the_worst_bin_with_an_example():
    confidence, correct = np.array([0.95, 0.85, 0.85, 0.35]), np.array([1, 1, 0, 1])
    assert calibration.maximum_calibration_error(confidence, correct, 10) == pytest.approx(0.65)


def test_classwise_ece_is_the_mean_of_each_classs_own(guesses):
    probs, labels = guesses
    own = [calibration.expected_calibration_error(probs[:, k], labels == k) for k in range(4)]
    assert calibration.classwise_calibration_error(probs, labels) == pytest.approx(np.mean(own))


def test_reliability_in_bins_of_equal_mass_by_hand():
    bins = calibration.reliability(np.array([0.9, 0.5, 0.7, 0.6]), np.array([1, 1, 1, 0]), 2, binning="mass")
    np.testing.assert_allclose(bins.edges, [0, 0.6, 1])
    np.testing.assert_allclose(bins.confidence, [0.55, 0.8])
    np.testing.assert_allclose(bins.accuracy, [0.5, 1])
    assert bins.count.tolist() == [2, 2]


def test_the_floors_of_one_bin_are_the_mean_deviation_of_a_binomial():
    probs = np.full((100, 2), 0.5)
    right = np.arange(101)
    want = (scipy.stats.binom(100, 0.5).pmf(right) * abs(right / 100 - 0.5)).sum()
    got = calibration.calibration_errors(probs, np.arange(100) % 2, draws=4000)
    for name in ("ece", "ece_mass", "mce", "classwise_ece"):
        assert got[name].floor == pytest.approx(want, rel=0.05)
    assert got["ece"].value == pytest.approx(0)
    assert calibration.ece_floor(probs.max(1), draws=4000) == got["ece"].floor


def test_the_basic_bootstrap_equals_scipys():
    rows = np.random.default_rng(0).exponential(size=200)
    want = scipy.stats.bootstrap([rows], np.mean, method="basic", n_resamples=20_000, rng=1).confidence_interval
    assert bootstrap_interval(np.mean, rows, draws=20_000) == pytest.approx(tuple(want), rel=5e-3)


def test_the_interval_contains_the_error_of_infinitely_many_examples():
    rng, covered, positive = np.random.default_rng(0), 0, 0
    for _ in range(40):
        confidence = rng.uniform(0.6, 1, 500)
        right = rng.random(500) < confidence - 0.1
        labels = np.where(right, 0, 1)
        got = calibration.calibration_errors(np.stack([confidence, 1 - confidence], 1), labels, draws=100)["ece"]
        covered += got.low <= 0.1 <= got.high
        positive += got.low > 0
    assert min(covered, positive) >= 34


def test_the_intervals_of_a_calibrated_model_reach_down_to_0():
    rng, at_zero = np.random.default_rng(0), collections.Counter()
    for _ in range(40):
        probs = scipy.special.softmax(3 * rng.normal(size=(400, 5)), 1)
        labels = (rng.random((400, 1)) > probs.cumsum(1)).sum(1).clip(0, 4)
        got = calibration.calibration_errors(probs, labels, draws=100)
        assert got["ece"].floor == pytest.approx(got["ece"].value, abs=0.04)
        at_zero.update(name for name, error in got.items() if error.low == 0)
    assert len(at_zero) == 4
    assert min(at_zero.values()) >= 36


def test_no_interval_of_an_error_reaches_beyond_1():
    # One wrong prediction of .55 is alone in its bin: the error is .55, and almost 0 in samples without it.
    confidence = np.array([0.99] * 60 + [0.55])
    labels = np.array([0] * 60 + [1])
    got = calibration.calibration_errors(np.stack([confidence, 1 - confidence], 1), labels)["mce"]
    assert got.value == pytest.approx(0.55)
    assert (got.low, got.high) == (0, 1)


def test_the_parts_of_a_brier_score_by_hand():
    # Of two probabilities of .8 one is correct, of three of .4 one: reliability 2/5 .09 + 3/5 (1/15)^2 per class.
    yes = np.array([0.8, 0.8, 0.4, 0.4, 0.4])
    parts = brier_parts(np.stack([1 - yes, yes], 1), np.array([1, 0, 1, 0, 0]))
    assert parts.reliability == pytest.approx(2 * (2 * 0.3**2 + 3 * (1 / 15) ** 2) / 5)
    assert parts.resolution == pytest.approx(2 * (2 * 0.1**2 + 3 * (1 / 15) ** 2) / 5)
    assert parts.uncertainty == pytest.approx(2 * 0.4 * 0.6)
    assert parts.within == pytest.approx(0, abs=1e-15)


def test_the_part_within_bins_is_their_variance_less_twice_their_covariance(guesses):
    probs, labels = guesses
    parts, within = brier_parts(probs, labels, 5), 0
    for k in range(4):
        index = np.digitize(probs[:, k], np.linspace(0, 1, 6)[1:-1])
        for b in range(5):
            p, y = probs[index == b, k], (labels[index == b] == k).astype(float)
            within += len(p) / 500 * (p.var() - 2 * ((p - p.mean()) * (y - y.mean())).mean()) if len(p) else 0
    assert parts.within == pytest.approx(within)
    brier = sum(sklearn.metrics.brier_score_loss(labels == k, probs[:, k]) for k in range(4))
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.within == pytest.approx(brier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probs": np.array([[0.5, 0.5], [0.9, 0.3]])}, r"sum to 1 in each row, found 1.2 in probs\[1\]"),
        ({"probs": np.array([[0.5, 0.5], [1.3, -0.3]])}, r"lie in 0..1, found probs\[1, 0\] = 1.3"),
        ({"probs": np.array([[0.5, 0.5], [np.nan, 1]])}, r"found probs\[1, 0\] = nan"),
        ({"probs": np.zeros((0, 2))}, r"one example or more, found the shape \(0, 2\)"),
        ({"probs": np.full((2, 2, 2), 0.5)}, r"must be \[examples, classes\], found the shape \(2, 2, 2\)"),
        ({"probs": np.ones((2, 1))}, r"2 classes or more, found the shape \(2, 1\)"),
        ({"labels": np.array([0, 2])}, r"labels must lie in 0..1, found labels\[1\] = 2"),
        ({"labels": np.array([-1, 0])}, r"found labels\[0\] = -1"),
        ({"labels": np.array([0.0, 1])}, "whole numbers, found float64"),
        ({"labels": np.array([0])}, r"labels must have one entry per example, \(2,\), found the shape \(1,\)"),
        ({"bins": 0}, "bins must be 1 or more, found 0"),
        ({"level": 1.0}, "level must lie in 0 < level < 1, found 1.0"),
        ({"draws": 0}, "draws must be 1 or more, found 0"),
    ],
)
def test_bad_input_is_named_with_its_value(change, message):
    good = {"probs": np.array([[0.5, 0.5], [0.9, 0.1]]), "labels": np.array([0, 1])}
    with pytest.raises(ValueError, match=message):
        calibration.calibration_errors(**{**good, **change})


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([0.5, 1.2], [1, 1], r"confidence\[1\] = 1.2"),
        ([0.5], [1, 1], "have one length, found 1 and 2"),
        ([0.5], [0.5], r"correct must be 0 or 1, found correct\[0\] = 0.5"),
        ([], [], "one number or more"),
    ],
)
def test_bad_confidences_are_named_with_their_value(confidence, correct, message):
    with pytest.raises(ValueError, match=message):
        calibration.expected_calibration_error(np.array(confidence), np.array(correct))


def test_the_diagram_shades_the_noise_of_each_bin_and_writes_its_count():
    confidence = np.r_[np.full(1, 0.5), np.full(1200, 0.9)]
    bins = calibration.reliability(confidence, np.r_[1, np.arange(1200) % 10 > 0], 10)
    top, bottom = reliability_diagram(bins, 0.01, 0.02, interval=(0, 0.03)).axes
    shaded = [(round(bar.get_y(), 3), round(bar.get_y() + bar.get_height(), 3)) for bar in top.patches]
    want = scipy.stats.binom(1200, 0.9).ppf([0.025, 0.975]) / 1200
    assert shaded == [(0, 1), tuple(want.round(3))]
    assert [text.get_text() for text in bottom.texts] == ["1", "1.2k"]
    assert top.get_title() == "ECE 0.0100 (0.0000 to 0.0300), noise floor 0.0200"
