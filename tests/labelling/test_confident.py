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
    assert found.index.tolist() == [4, 2]  # .75 against .25 is surer than .7 against .3
    assert found.suggested.tolist() == [0, 1]


def test_a_class_of_low_confidence_has_a_low_threshold():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.55, 0.45]])
    found = confident_errors(probs, np.array([0, 0, 1, 1, 0]))
    assert found.index.tolist() == [4]  # .45 reaches .375, and .55 does not reach .783
    assert found.suggested.tolist() == [1]


def test_unknown_labels_are_left_out_and_absent_classes_never_suggested():
    probs = np.array([[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0.1, 0.9], [0, 0.1, 0.9]])
    found = confident_errors(probs, np.array([0, 1, 1, -1]))
    assert found.index.tolist() == []
    assert found.joint.sum() == 2
    assert np.isnan(found.threshold[2])


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
