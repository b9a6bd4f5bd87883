import numpy as np
import pytest

from cnnlab.labelling import confident_errors


def test_the_confident_joint_is_that_of_hand_arithmetic():
    probs = np.array([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.75, 0.25, 0], [0.1, 0.2, 0.7]])
    label = np.array([0, 0, 0, 1, 1, 2])
    found = confident_errors(probs, label)
    # Thresholds: (.8 + .6 + .3) / 3, (.9 + .25) / 2 and .7.
    np.testing.assert_allclose(found.threshold, [0.5667, 0.575, 0.7], atol=1e-4)
    assert found.joint.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.index.tolist() == [4, 2]  # one of each label: .25 is less than .3
    assert found.suggested.tolist() == [0, 1]


def test_of_each_label_as_many_are_found_as_the_joint_suggests_and_the_least_probable():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.35, 0.65], [0.2, 0.8], [0.1, 0.9], [0.25, 0.75]])
    found = confident_errors(probs, np.array([0, 0, 0, 0, 1, 1, 1]))
    # Thresholds .625 and .8167. Two examples of label 0 are sure to be 0 and none to be 1; one of label 1 is sure.
    assert found.joint.tolist() == [[2, 0], [0, 1]]
    assert found.index.tolist() == []
    probs[3] = [0.1, 0.9]
    found = confident_errors(probs, np.array([0, 0, 0, 0, 1, 1, 1]))
    # Thresholds .5625 and .8167: now one is sure to be 1.
    assert found.joint.tolist() == [[2, 1], [0, 1]]
    assert (found.index.tolist(), found.suggested.tolist()) == ([3], [1])


def test_unknown_labels_are_left_out_and_absent_classes_never_suggested():
    probs = np.array([[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0.1, 0.9], [0, 0.1, 0.9]])
    found = confident_errors(probs, np.array([0, 1, 1, -1]))
    assert found.index.tolist() == []
    assert found.joint.sum() == 2
    assert np.isnan(found.threshold[2])


def test_labels_flipped_on_purpose_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 2000)
    logits = rng.normal(0, 1, (2000, 5)) + 4.0 * np.eye(5)[truth]  # right in 98 % of cases
    wrong = rng.random(2000) < 0.05
    given = np.where(wrong, (truth + rng.integers(1, 5, 2000)) % 5, truth)
    found = confident_errors(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), given)
    assert wrong[found.index].mean() > 0.95
    assert wrong[found.index].sum() / wrong.sum() > 0.75
    assert (found.suggested == truth[found.index])[wrong[found.index]].mean() > 0.95


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 0, 0], "labels of one class"),
        ([-1, -1, -1], "labels of no class"),
        ([0, 1, 2], r"in -1\.\.1, found 0\.\.2"),
    ],
)
def test_labels_that_cannot_be_judged_are_refused(label, message):
    with pytest.raises(ValueError, match=message):
        confident_errors(np.full((3, 2), 0.5), np.array(label))
