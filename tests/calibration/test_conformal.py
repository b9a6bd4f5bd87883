import json

import numpy as np
import pytest
import scipy.stats

from cnnlab.calibration.conformal import SCORES, Conformal, conformal_threshold, conformity_scores, coverage
from cnnlab.calibration.image_draws import image_draws
from cnnlab.files import strict_json

PROBS = np.array([[0.2, 0.5, 0.3], [0.7, 0.05, 0.25]])


def drawn(n, k=5, seed=0):
    """Returns miscalibrated probabilities and labels."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.full(k, 0.5), n)
    labels = np.minimum((rng.random((n, 1)) > honest.cumsum(1)).sum(1), k - 1)
    sharp = honest**2
    return sharp / sharp.sum(1, keepdims=True), labels


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ({"method": "lac"}, [[0.8, 0.5, 0.7], [0.3, 0.95, 0.75]]),
        ({"method": "aps"}, [[1, 0.5, 0.8], [0.7, 1, 0.95]]),
        ({"method": "aps", "uniform": [1, 0.5]}, [[0.8, 0, 0.5], [0.35, 0.975, 0.825]]),
        ({"method": "raps", "penalty": 0.2, "rank": 1}, [[1.4, 0.5, 1], [0.7, 1.4, 1.15]]),
        ({"method": "raps", "penalty": 0.2, "rank": 2, "uniform": [1, 0]}, [[1, 0, 0.5], [0.7, 1.2, 0.95]]),
    ],
)
def test_scores_by_hand(options, scores):
    np.testing.assert_allclose(conformity_scores(PROBS, **options), scores)


def test_a_score_of_ones_own_is_a_line_in_its_table_and_gets_the_options_it_names(monkeypatch):
    monkeypatch.setitem(SCORES, "power", lambda probs, *, rank: 1 - probs**rank)
    scores = conformity_scores(PROBS, method="power", uniform=[0.5, 0.5], rank=2)
    np.testing.assert_allclose(scores[0], [0.96, 0.75, 0.91])


@pytest.mark.parametrize(
    ("n", "error", "place"), [(9, 0.1, 9), (10, 0.1, 10), (19, 0.1, 18), (99, 0.05, 95), (9, 0.7, 3), (1, 0.5, 1)]
)
def test_the_threshold_is_the_order_statistic_by_hand(n, error, place):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert conformal_threshold(scores, error) == place


def test_sets_by_hand():
    lac = Conformal("lac", 0.1, threshold=0.75, classes=3, examples=9)
    assert lac.sets(PROBS).tolist() == [[False, True, True], [True, False, True]]
    strict = Conformal("lac", 0.1, threshold=0.2, classes=3, examples=9)
    assert not strict.sets(PROBS).any()
    assert strict.sets(PROBS, nonempty=True).tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize("options", [{"method": "lac"}, {"method": "aps"}, {"method": "raps"}])
def test_sets_hold_the_label_exactly_as_often_as_promised(options):
    covered, size = [], 150
    for seed in range(300):
        probs, labels = drawn(99 + size, seed=seed)
        fitted = Conformal.fit(probs[:99], labels[:99], error=0.1, seed=seed, **options)
        covered.append(np.take_along_axis(fitted.sets(probs[99:], seed=seed), labels[99:, None], 1).mean())
    # The threshold is number 90 of 99 scores, so the expected coverage is 90 / 100.
    assert np.mean(covered) == pytest.approx(0.9, abs=4 * np.std(covered) / np.sqrt(300))


@pytest.mark.parametrize("method", ["aps", "raps"])
def test_sets_without_randomisation_hold_it_at_least_as_often(method):
    covered = []
    for seed in range(100):
        probs, labels = drawn(249, seed=seed)
        result = Conformal.fit(probs[:99], labels[:99], error=0.1, method=method, randomised=False).sets(probs[99:])
        covered.append(np.take_along_axis(result, labels[99:, None], 1).mean())
    assert np.mean(covered) > 0.9 - 3 * np.std(covered) / 10


def test_the_band_of_coverage_holds_95_of_100_fits():
    inside = []
    for seed in range(400):
        probs, labels = drawn(199, seed=seed)
        fitted = Conformal.fit(probs[:99], labels[:99], error=0.1)
        got = fitted.coverage(fitted.sets(probs[99:]), labels[99:])
        inside.append(got.low <= got.coverage <= got.high)
    assert 0.93 <= np.mean(inside) <= 0.99  # coverage moves in steps of 1 / 100, so the band is a little wide


def test_coverage_size_and_empty_sets_by_hand():
    sets = np.array([[True, False], [True, True], [False, False], [False, True]])
    got = coverage(sets, np.array([0, 1, 0, 0]), error=0.1, examples=9)
    assert got[:3] == (0.5, 1.0, 0.25)
    row = coverage(sets[:1], np.array([0]), error=0.1, examples=9)  # a single example is covered or not
    assert (row.low, row.high) == (0, 1)


def test_less_error_means_larger_sets_and_the_penalty_smaller_ones():
    probs, labels = drawn(500, 20)
    sizes = [Conformal.fit(probs, labels, error=e, method="aps").sets(probs).sum(1).mean() for e in (0.2, 0.1, 0.05)]
    assert sizes == sorted(sizes)
    largest = [Conformal.fit(probs, labels, method=m, rank=2).sets(probs).sum(1).max() for m in ("aps", "raps")]
    assert largest[1] < largest[0]


@pytest.mark.parametrize("method", ["aps", "raps"])
def test_each_class_of_a_confident_network_is_held_as_often_as_promised(method):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 8000)
    sure = rng.random((8000, 1)) < 0.75  # these rows are one-hot
    probs = np.where(sure, np.eye(10)[labels], rng.dirichlet(np.ones(10), 8000))
    fitted = Conformal.fit(probs[:3000], labels[:3000], error=0.1, method=method)
    covered = np.take_along_axis(fitted.sets(probs[3000:]), labels[3000:, None], 1)[:, 0]
    rates = [covered[labels[3000:] == k].mean() for k in range(10)]
    assert np.ptp(rates) < 0.1  # five standard errors of a rate of .9 on 500 examples
    result = fitted.coverage(fitted.sets(probs[3000:]), labels[3000:])
    assert result.low <= result.coverage <= result.high


def test_examples_that_come_one_by_one_keep_the_numbers_they_are_given():
    probs, labels = drawn(200)
    uniform = np.random.default_rng(1).random(200)
    fitted = Conformal.fit(probs[:100], labels[:100], method="aps", uniform=uniform[:100])
    together = fitted.sets(probs[100:], uniform=uniform[100:])
    alone = [fitted.sets(row[None], uniform=u[None]) for row, u in zip(probs[100:], uniform[100:], strict=True)]
    assert (together == np.concatenate(alone)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_numbers_of_images_are_uniform_and_independent_of_their_batch(dtype):
    images = np.random.default_rng(0).integers(0, 2, (4000, 5, 5, 1)).astype(dtype)
    draws = np.asarray(image_draws(images))
    assert scipy.stats.kstest(draws, "uniform").pvalue > 0.001
    assert np.asarray(image_draws(images[7:9])).tolist() == draws[7:9].tolist()
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / np.sqrt(4000)


def test_a_rule_survives_json_and_draws_the_same_sets():
    probs, labels = drawn(200)
    fitted = Conformal.fit(probs, labels, method="raps", randomised=True, rank=2)
    back = strict_json.decode(Conformal, json.loads(json.dumps(strict_json.encode(fitted))), "conformal")
    assert back == fitted
    assert (back.sets(probs) == fitted.sets(probs)).all()
    assert (back.sets(probs, seed=5) != fitted.sets(probs)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"error": 0.05},
            "0.05 needs 19 calibration examples or more, found 10; for these the smallest error is 1/11",
        ),
        ({"error": 0.0}, "error must lie in 0 < error < 1, found 0.0"),
        ({"method": "naive"}, "method must be lac, aps or raps, found 'naive'"),
        ({"method": "raps", "penalty": -1}, "penalty and rank must be 0 or more, found -1 and 1"),
        ({"labels": np.full(10, 5)}, r"labels must lie in 0..4, found labels\[0\] = 5"),
        ({"probs": np.ones((10, 5))}, r"sum to 1 in each row, found 5 in probs\[0\]"),
        ({"probs": np.zeros((0, 5)), "labels": np.zeros(0, int)}, "one example or more"),
    ],
)
def test_bad_input_is_named_with_its_value(change, message):
    probs, labels = drawn(10)
    with pytest.raises(ValueError, match=message):
        Conformal.fit(**{"probs": probs, "labels": labels, **change})


def test_sets_of_other_classes_or_a_wrong_rule_are_refused():
    with pytest.raises(ValueError, match="fitted on 5 classes, found 3"):
        Conformal.fit(*drawn(10)).sets(PROBS)
    with pytest.raises(ValueError, match="threshold must be finite, found inf"):
        Conformal("lac", 0.1, float("inf"), 3, 10)
    with pytest.raises(ValueError, match="uniform must hold one number per example, 2 in all, found 1"):
        conformity_scores(PROBS, method="aps", uniform=[0.5])
    with pytest.raises(ValueError, match="conformal.threshold is missing"):
        strict_json.decode(Conformal, {"method": "lac", "error": 0.1, "classes": 3, "examples": 9}, "conformal")
