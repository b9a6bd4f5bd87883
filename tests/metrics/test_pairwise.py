import numpy as np
import pytest
from scipy import stats

from cnnlab.metrics.pairwise import effective_pairs, kendall_tau, outcomes, pairwise_accuracy


def test_the_tau_of_a_complete_order_is_scipy_s():
    rng = np.random.default_rng(0)
    quality = rng.normal(size=30)
    score = quality + rng.normal(size=30)
    above, below = np.triu_indices(30, 1)
    turn = quality[above] < quality[below]
    photos = np.stack([np.where(turn, below, above), np.where(turn, above, below)], 1)
    lead = score[photos[:, 0]] - score[photos[:, 1]]
    tau = kendall_tau(pairwise_accuracy(lead, photos).accuracy)
    assert tau == pytest.approx(stats.kendalltau(score, quality).statistic, rel=1e-12)


def test_the_interval_of_pairs_that_share_no_photo_is_wilson_s():
    lead = np.repeat([1.0, -1.0], [31, 9])
    result = pairwise_accuracy(lead, np.arange(80).reshape(-1, 2))
    want = stats.binomtest(31, 40).proportion_ci(method="wilson")
    assert result == pytest.approx((31 / 40, want.low, want.high), rel=1e-9)


def test_pairs_that_share_a_photo_count_together_by_hand():
    # outcomes 1 1 0 0, mean 1/2; photo 0 is in the first two pairs, photo 3 in the last two:
    # sums over photos 1, ±1/2 twice each, 1; so 3 - 1 (each pair once too often), 2 / 16 = 1/8, and 1/4 / (1/8) = 2
    photos = np.array([[0, 1], [0, 2], [3, 4], [3, 5]])
    assert effective_pairs(np.array([1.0, 1, 0, 0]), photos) == pytest.approx(2)


def test_a_pair_that_is_asked_twice_counts_once():
    outcome, photos = np.array([1.0, 0, 1, 1]), np.arange(8).reshape(-1, 2)
    once = effective_pairs(outcome, photos)
    twice = effective_pairs(np.tile(outcome, 2), np.concatenate([photos, photos[:, ::-1]]))
    assert twice == pytest.approx(once) == 4


def test_an_order_without_a_mistake_has_an_interval_of_half_the_photos():
    every = np.array([(i, j) for i in range(10) for j in range(i)])
    result = pairwise_accuracy(np.ones(45), every)
    want = stats.binomtest(5, 5).proportion_ci(method="wilson")
    assert result == pytest.approx((1, want.low, 1))


def test_the_interval_covers_the_true_share_of_pairs_that_share_photos():
    rng, covered, above = np.random.default_rng(1), [], np.triu_indices(40, 1)
    truth = 1 / 2 + np.arctan(1) / np.pi  # of a score with as much noise as signal
    for _ in range(300):
        quality = rng.normal(size=40)
        score = quality + rng.normal(size=40)
        lead = (score[above[0]] - score[above[1]]) * np.sign(quality[above[0]] - quality[above[1]])
        _, low, high = pairwise_accuracy(lead, np.stack(above, 1))
        covered.append(low < truth < high)
    assert 0.88 < np.mean(covered) < 0.98  # as independent pairs, less than half


def test_ties_count_one_half():
    assert outcomes(np.array([2.0, 0.0, -1e-9])).tolist() == [1, 0.5, 0]


@pytest.mark.parametrize(
    ("lead", "photos", "message"),
    [
        (np.zeros(0), np.zeros((0, 2)), "for one pair or more"),
        (np.zeros(2), np.zeros((3, 2)), r"found \(2,\), \(3, 2\)"),
        (np.array([1, np.nan]), np.zeros((2, 2)), r"must be finite, found nan in lead\[1\]"),
    ],
)
def test_leads_without_an_order_are_refused(lead, photos, message):
    with pytest.raises(ValueError, match=message):
        pairwise_accuracy(lead, photos)
