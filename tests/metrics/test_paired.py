import numpy as np
import pytest

from cnnlab.metrics.paired import Difference, bootstrap_differences, mcnemar


def means(rows):
    return {"mean": rows["x"].mean()}


def test_a_paired_interval_is_the_normal_one_of_the_differences():
    rng = np.random.default_rng(0)
    first = rng.normal(0, 10, 2000)
    second = first + rng.normal(0.5, 1, 2000)  # hard examples are hard for both
    got = bootstrap_differences(means, {"x": first}, {"x": second}, draws=2000)["mean"]
    gap = second - first
    half = 1.96 * gap.std(ddof=1) / np.sqrt(2000)
    np.testing.assert_allclose([got.low, got.high], [gap.mean() - half, gap.mean() + half], atol=0.006)


def test_nine_in_ten_intervals_hold_the_true_difference():
    rng, held = np.random.default_rng(1), 0
    for seed in range(200):
        first, second = ({"x": rng.normal(mean, 1, 100)} for mean in (0.0, 0.3))
        interval = bootstrap_differences(means, first, second, draws=200, level=0.9, seed=seed)["mean"]
        held += interval.low <= 0.3 <= interval.high
    assert 0.84 <= held / 200 <= 0.96  # three standard deviations of a share of .9 of 200


def test_a_score_that_a_draw_cannot_compute_has_the_interval_of_the_others():
    def score(rows):
        return {"x": rows["x"].mean() if rows["x"].any() else np.nan}

    rows = {"x": np.array([1.0, 0.0, 0.0])}
    got = bootstrap_differences(score, rows, rows, draws=50)["x"]
    assert got == Difference(0.0, 0.0, 0.0)
    assert not got.is_clear


def test_mcnemars_test_is_the_binomial_one_of_the_disagreements():
    first = np.array([1] * 9 + [0] * 2 + [1] * 30, bool)
    second = np.array([0] * 9 + [1] * 2 + [1] * 30, bool)
    got = mcnemar(first, second)
    by_hand = 2 * sum([1, 11, 55]) / 2**11  # 2 P(X <= 2) of 11 fair coins
    assert (got.first_only, got.second_only) == (9, 2)
    assert got.p_value == pytest.approx(by_hand)
    assert mcnemar(first, first).p_value == 1


def test_models_of_other_examples_are_refused():
    with pytest.raises(ValueError, match=r"rows for the same examples, found \[2, 3\] rows"):
        bootstrap_differences(means, {"x": np.zeros(2)}, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match="lists of one length"):
        mcnemar(np.zeros(2), np.zeros(3))
