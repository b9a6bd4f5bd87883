import sys

import numpy as np
import pytest
import sklearn.metrics

from cnnlab.metrics.segmentation import boundaries, panoptic, rand
from cnnlab.metrics.segmentation import confusion as segmentation
from cnnlab.metrics.segmentation.shape_scores import shape_scores


@pytest.fixture
def masks():
    return np.random.default_rng(0).integers(-1, 3, (2, 40, 30))


def test_the_scores_equal_scikit_learns(masks):
    guess, truth = np.maximum(masks[0], 0), masks[1]
    known = truth >= 0
    confusion = segmentation.confusion_matrix(guess, truth, 3)
    each = segmentation.class_scores(confusion)
    pair = truth[known], guess[known]
    np.testing.assert_array_equal(confusion, sklearn.metrics.confusion_matrix(*pair))
    np.testing.assert_allclose(each["iou"], sklearn.metrics.jaccard_score(*pair, average=None))
    np.testing.assert_allclose(each["dice"], sklearn.metrics.f1_score(*pair, average=None))
    assert segmentation.scores(confusion)["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(*pair))


def test_confusions_of_uneven_tiles_add_up_to_that_of_the_whole(masks):
    guess, truth = np.maximum(masks[0], 0), masks[1]
    tiles = [(slice(a, b), slice(c, d)) for a, b in ((0, 7), (7, 40)) for c, d in ((0, 29), (29, 30))]
    parts = sum(segmentation.confusion_matrix(guess[tile], truth[tile], 3) for tile in tiles)
    assert (parts == segmentation.confusion_matrix(guess, truth, 3)).all()


def test_a_class_that_neither_occurs_nor_is_guessed_has_no_score_and_is_left_out_of_the_mean():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert np.isnan(segmentation.class_scores(confusion)["iou"]).tolist() == [False, False, True]
    assert segmentation.scores(confusion)["mean_iou"] == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_guess_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match=r"guess must lie in 0..1, found 0..2"):
        segmentation.confusion_matrix(np.array([0, 2]), np.array([0, 1]), 2)


def line(column, *, height=10, width=12):
    return np.tile(np.arange(width) == column, (height, 1))


@pytest.mark.parametrize(("shift", "f1"), [(0, 1), (2, 1), (3, 0)])
def test_an_outline_is_correct_two_pixels_off_and_wrong_three_pixels_off(shift, f1):
    assert boundaries.boundary_counts(line(5 + shift), line(5), tolerance=2).f1 == f1


def test_half_an_outline_and_a_wrong_one_give_their_precision_and_recall():
    half = line(5) & (np.arange(10) < 4)[:, None]
    counts = boundaries.boundary_counts(half | line(11), line(5), tolerance=2)
    # 4 of 14 predicted pixels are correct; of 10 true pixels, the first 4 and two more are near.
    assert (counts.precision, counts.recall) == (4 / 14, 6 / 10)
    assert counts.f1 == pytest.approx(2 * (4 / 14) * 0.6 / (4 / 14 + 0.6))


def test_tiles_read_with_a_margin_of_the_tolerance_add_up_to_the_whole():
    guess, truth = np.random.default_rng(1).random((2, 31, 40)) < 0.05
    whole = boundaries.boundary_counts(guess, truth, tolerance=2)
    parts = boundaries.BoundaryCounts(0, 0, 0, 0)
    for low, high in ((0, 7), (7, 23), (23, 40)):
        window = slice(max(low - 2, 0), high + 2)
        column = np.arange(40)[window]
        own = np.tile((low <= column) & (column < high), (31, 1))
        part = boundaries.boundary_counts(guess[:, window], truth[:, window], tolerance=2, inside=own)
        parts = parts.merge(part)
    assert parts == whole
    assert 0 < whole.f1 < 1


def test_without_outlines_there_is_no_score_and_without_the_right_ones_it_is_0():
    nothing = np.zeros((3, 3), bool)
    assert np.isnan(boundaries.boundary_counts(nothing, nothing).f1)
    assert boundaries.boundary_counts(nothing, ~nothing).f1 == 0


def test_outlines_of_a_mask_run_on_both_sides_of_every_change_but_those_to_ignored_pixels():
    mask = np.array([[0, 0, 1, -1, 2], [0, 0, 0, 0, 0]])
    assert boundaries.outlines(mask).astype(int).tolist() == [[0, 1, 1, 0, 1], [0, 0, 1, 0, 1]]


def test_ridges_are_the_crests_of_lines_however_thick():
    upright = np.tile(np.exp(-((np.arange(9) - 4) ** 2) / 8), (7, 1))
    assert (boundaries.ridges(upright, 0.1) == (np.arange(9) == 4)).all()
    assert (boundaries.ridges(upright.T, 0.1) == (np.arange(9) == 4)[:, None]).all()
    diagonal = np.eye(7) + 0.5 * (np.eye(7, k=1) + np.eye(7, k=-1))
    assert (boundaries.ridges(diagonal, 0.1) == np.eye(7, dtype=bool)).all()
    bumpy = upright + np.random.default_rng(0).uniform(0, 0.02, (7, 9))  # the noise is smaller than the slope
    assert (boundaries.ridges(bumpy, 0.2) == (np.arange(9) == 4)).all()
    flat = np.tile([0.0, 0, 1, 1, 1, 0, 0], (5, 1))
    assert (boundaries.ridges(flat, 0.5) == (flat == 1)).all()
    assert (boundaries.ridges((200 * upright).astype(np.uint8), 20) == (np.arange(9) == 4)).all()


def test_basins_close_a_gap_that_joins_two_rooms():
    wall = np.zeros((5, 9))
    wall[:, 4] = 0.9
    wall[2, 4] = 0.3  # the gap
    assert panoptic.shapes(wall < 0.5).max() == 1
    rooms = panoptic.basins(wall, 0.2, lines=True)
    assert (rooms == np.select([np.arange(9) < 4, np.arange(9) > 4], [1, 2])).all()
    assert panoptic.basins(wall, 0.2).min() == 1  # each pixel of the wall belongs to a room
    assert panoptic.basins(wall, 0.5).max() == 1
    assert not panoptic.basins(wall, 0.2, min_size=21).any()


def test_basins_without_their_extra_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ValueError, match=r"pip install 'cnnlab\[shapes\]'"):
        panoptic.basins(np.zeros((2, 2)), 0.5)


def test_panoptic_quality_by_hand():
    truth = np.zeros((4, 20), int)
    truth[:, 0:5], truth[:, 6:11], truth[:, 12:15] = 1, 2, 3  # 20, 20 and 12 pixels
    guess = np.zeros_like(truth)
    guess[:, 0:4], guess[:, 5:9], guess[:, 16:20] = 5, 6, 9  # IoU 16/20, 12/24 (not above 1/2), 0
    counts = panoptic.panoptic_counts(guess, truth)
    assert counts == (0.8, 1, 2, 2)
    assert counts.quality == pytest.approx(0.8 / 3)
    assert counts.quality == pytest.approx(counts.segmentation_quality * counts.recognition_quality)


def test_small_shapes_and_pixels_outside_do_not_count():
    truth = np.repeat([[1, 1, 1, 1, 0, 2, 0, 3]], 2, axis=0)
    inside = np.ones(truth.shape, bool)
    inside[:, 7] = False
    counts = panoptic.panoptic_counts(truth * (truth == 1), truth, min_size=3, inside=inside)
    assert counts == (1, 1, 0, 0)
    assert np.isnan(panoptic.panoptic_counts(truth * 0, truth * 0).quality)


def test_the_same_partition_agrees_whatever_its_numbers():
    truth = np.random.default_rng(2).integers(1, 5, 200)
    assert rand.partition_agreement(10 - truth, truth) == pytest.approx((1,) * 6)


def test_v_rand_is_that_of_the_contingency_table_and_v_info_the_normalised_mutual_information():
    guess, truth = np.random.default_rng(3).integers(1, 5, (2, 500))
    truth[:50] = guess[:50]
    agreement = rand.partition_agreement(guess, truth)
    table = sklearn.metrics.cluster.contingency_matrix(truth, guess) / 500
    pairs = (table**2).sum()
    assert agreement.rand_merge == pytest.approx(pairs / (table.sum(0) ** 2).sum())
    assert agreement.rand_split == pytest.approx(pairs / (table.sum(1) ** 2).sum())
    assert agreement.rand == pytest.approx(2 / (1 / agreement.rand_merge + 1 / agreement.rand_split))
    assert agreement.info == pytest.approx(sklearn.metrics.normalized_mutual_info_score(truth, guess))
    assert agreement.info_merge == pytest.approx(sklearn.metrics.homogeneity_score(truth, guess))


def test_thinned_borders_of_any_width_agree():
    truth = np.repeat([[1] * 10 + [0] + [2] * 10], 5, axis=0)
    thick = np.where(np.abs(np.arange(21) - 10) <= 4, 0, truth)  # of 100 pixels 30 and 30 stay, 40 are single
    assert rand.partition_agreement(thick, truth).rand == pytest.approx(2 * 0.184 / (0.184 + 0.5))
    assert rand.partition_agreement(rand.thin_borders(thick), truth).rand == 1
    assert not rand.thin_borders(np.zeros((2, 3), int)).any()
    assert rand.thin_borders(np.array([[3, 0, -1, 0]])).tolist() == [[3, 3, 3, 3]]


def test_true_membranes_are_left_out_and_guessed_ones_are_segments_of_one_pixel():
    guess, truth = np.array([1, 0, 0, 2, 2]), np.array([1, 1, 1, 1, 0])
    # The four pixels of the one true segment lie in four predicted segments, with shares of 1/4 each.
    agreement = rand.partition_agreement(guess, truth)
    assert (agreement.rand_split, agreement.rand_merge) == (0.25, 1)
    with pytest.raises(ValueError, match="truth has no segment"):
        rand.partition_agreement(guess, truth * 0)


def test_shapes_are_scored_class_by_class_over_all_images():
    mask = np.zeros((12, 12), int)
    mask[2:5, 2:5], mask[7:11, 7:11] = 1, 2
    guess = mask.copy()
    guess[2:5, 5:8] = 1  # 9 of 18 pixels overlap: no match
    hidden = np.full((12, 12), -1)
    scores = shape_scores([guess, mask, mask], [mask, mask, hidden], 4, tolerance=0)
    assert scores["panoptic_quality"][1] == 1 / 2  # one match, one spurious, one missed
    assert scores["panoptic_quality"][2] == scores["boundary_f1"][2] == 1
    assert np.isnan(scores["panoptic_quality"][3])
    assert np.isnan(scores["boundary_f1"][3])
    assert np.isnan(scores["v_rand"]).all()  # no image has two shapes of a class
    # The 3x3 square has 8 + 12 outline pixels, the predicted 3x6 rectangle 14 + 18; 9 outside and 9 inside agree.
    precision, recall = (18 + 20) / (32 + 20), (18 + 20) / (20 + 20)
    assert scores["boundary_f1"][1] == pytest.approx(2 * precision * recall / (precision + recall))


def test_cells_that_a_guess_merges_cost_v_rand_in_their_image_alone():
    mask = np.array([[1, 1, 0, 1, 1]])
    scores = shape_scores([np.ones_like(mask), mask], [mask, mask], 2)
    # One predicted shape covers two halves: V-Rand is 2 (1/4 + 1/4) / (1 + 1/2) and V-Info 0; the second image has 1.
    assert scores["v_rand"][1] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["v_info"][1] == pytest.approx((0 + 1) / 2)
