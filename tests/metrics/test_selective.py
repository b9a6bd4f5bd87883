import itertools

import numpy as np
import pytest
import sklearn.metrics

from cnnlab.metrics.selective import augrc, aurc, risk_at_coverage, risk_coverage
from cnnlab.metrics.separation import average_precision, false_positive_rate, separation


@pytest.fixture(scope="module")
def coarse():
    """Confidences with many ties, and whether each prediction is correct."""
    rng = np.random.default_rng(0)
    confidence = rng.integers(1, 9, 200) / 8
    return confidence, (rng.random(200) < confidence).astype(int)


def test_risks_by_hand():
    curve = risk_coverage(np.array([0.6, 0.9, 0.7, 0.8]), np.array([1, 1, 0, 1]))
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 4])


def test_tied_examples_count_as_the_mean_over_their_orders():
    confidence, correct = np.array([0.9, 0.7, 0.7, 0.7, 0.5]), np.array([1, 0, 1, 0, 1])
    risks = []
    for middle in itertools.permutations([1, 2, 3]):
        wrong = (1 - correct)[[0, *middle, 4]]
        risks.append(wrong.cumsum() / np.arange(1, 6))
    np.testing.assert_allclose(risk_coverage(confidence, correct).risk, np.mean(risks, 0))
    assert aurc(confidence, correct) == pytest.approx(np.mean(risks))


def test_augrc_is_its_authors_closed_form(coarse):
    confidence, correct = coarse
    error = 1 - correct.mean()
    auroc = sklearn.metrics.roc_auc_score(correct, confidence)
    assert augrc(confidence, correct) == pytest.approx((1 - auroc) * error * (1 - error) + error**2 / 2, rel=1e-12)


@pytest.mark.parametrize(("coverage", "risk"), [(0.8, 1 / 8), (0.75, 1 / 8), (0.7, 0), (1.0, 3 / 10), (0.1, 0)])
def test_risk_at_a_coverage_by_hand(coverage, risk):
    correct = np.array([1] * 7 + [0] * 3)
    assert risk_at_coverage(np.linspace(0.9, 0.1, 10), correct, coverage) == pytest.approx(risk)


def test_separation_equals_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 8, 100), rng.integers(2, 12, 60)
    scores, is_outside = np.r_[inside, outside], np.repeat([0, 1], [100, 60])
    got = separation(inside, outside)
    assert got.auroc == pytest.approx(sklearn.metrics.roc_auc_score(is_outside, scores), rel=1e-12)
    assert got.aupr_out == pytest.approx(sklearn.metrics.average_precision_score(is_outside, scores), rel=1e-12)
    assert got.aupr_in == pytest.approx(sklearn.metrics.average_precision_score(1 - is_outside, -scores), rel=1e-12)
    fpr, tpr, _ = sklearn.metrics.roc_curve(is_outside, scores, drop_intermediate=False)
    assert got.fpr95 == pytest.approx(fpr[(tpr >= 0.95).argmax()], rel=1e-12)


def test_95_percent_of_20_are_19():
    outside = np.arange(20.0)
    assert false_positive_rate(np.array([0.5, 1.0, 1.5, 30]), outside) == 0.75


def test_perfect_and_hopeless_scores():
    assert separation(np.zeros(5), np.ones(3)) == (1, 1, 1, 0)
    assert separation(np.ones(5), np.ones(3)) == pytest.approx((0.5, 3 / 8, 5 / 8, 1))
    assert average_precision(np.array([2.0]), np.array([1.0, 3.0])) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: risk_at_coverage([0.5], [1], 0.0), "coverage must lie in 0 < coverage <= 1, found 0.0"),
        (lambda: aurc([], []), "confidence must be a list of one number or more"),
        (lambda: aurc([np.nan], [1]), r"confidence\[0\] = nan"),
        (lambda: separation([1.0], []), "outside must be a list of one number or more"),
        (lambda: separation([1.0, np.nan], [1.0]), r"inside\[1\] = nan"),
        (lambda: false_positive_rate([1.0], [1.0], recall=2), "recall must lie in 0 < recall <= 1, found 2"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
