import numpy as np
import pytest

from cnnlab.metrics.detection.calibration import detection_calibration, scored_detections
from cnnlab.metrics.detection.errors import detection_errors
from cnnlab.metrics.detection.false_positives import false_positive_auroc
from cnnlab.metrics.detection.voc import precision_recall_curves, voc_average_precision


def test_a_detection_scored_nan_is_left_out():
    boxes = [np.array([[0.0, 0, 9, 9]] * 2)]
    detections = {"boxes": boxes, "scores": [np.array([np.nan, 0.5])], "classes": [np.zeros(2, int)]}
    assert voc_average_precision(detections, {"boxes": [boxes[0][:1]], "classes": [np.zeros(1, int)]}) == {0: 1.0}


def columns(images, scored):
    """Reads lines with x, y, width and height of boxes that include their last pixel."""
    names = ("boxes", "scores", "classes") if scored else ("boxes", "classes")
    table = {name: [] for name in names}
    for lines in images:
        numbers = np.array([[float(word) for word in line.split()[1:]] for line in lines]).reshape(len(lines), -1)
        box = numbers[:, -4:] if len(lines) else np.zeros((0, 4))
        table["boxes"].append(np.c_[box[:, :2], box[:, :2] + box[:, 2:] + 1])
        table["classes"].append(np.zeros(len(lines), int))
        if scored:
            table["scores"].append(numbers[:, 0] if len(lines) else np.zeros(0))
    return table


@pytest.fixture(scope="module")
def seven(shared):
    """Detections and truths of seven images with 15 objects and 24 detections."""
    folder = shared / "reference_vectors/review_detection_metrics/tests/test_case_1"
    read = [
        [path.read_text().splitlines() for path in sorted((folder / name).glob("*.txt"))] for name in ("dets", "gts")
    ]
    return columns(read[0], True), columns(read[1], False)


@pytest.mark.parametrize(
    ("threshold", "eleven", "every"),
    [(0.1, 0.3333333333, 0.3371980676), (0.3, 0.2683982683, 0.2456866804), (0.5, 0.0303030303, 0.0222222222)],
)
def test_average_precision_equals_that_of_the_reviewed_metrics(seven, threshold, eleven, every):
    for points, want in (("11", eleven), ("every", every)):
        precision = voc_average_precision(*seven, iou_threshold=threshold, points=points)
        assert precision == {0: pytest.approx(want, abs=1e-9)}


BOXES = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])


def test_voc_counts_neither_a_difficult_object_nor_its_detection():
    detections = {"boxes": [BOXES], "scores": [np.array([0.5, 0.9])], "classes": [np.array([0, 0])]}
    truths = {"boxes": [BOXES], "classes": [np.array([0, 0])], "difficult": [np.array([False, True])]}
    assert voc_average_precision(detections, truths) == {0: 1.0}
    assert precision_recall_curves(detections, truths)[0].precision.tolist() == [
        0,
        1,
    ]  # the first does not count


def test_a_second_detection_of_an_object_is_wrong():
    detections = {"boxes": [BOXES[[0, 0, 1]]], "scores": [np.array([0.9, 0.8, 0.7])], "classes": [np.zeros(3, int)]}
    curve = precision_recall_curves(detections, {"boxes": [BOXES], "classes": [np.zeros(2, int)]})[0]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == [0.5, 0.5, 1]


def test_every_error_has_its_cause():
    truths = {
        "boxes": [np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])],
        "classes": [np.array([0, 0, 1])],
    }
    detections = {
        "boxes": [np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [25, 0, 35, 10], [40, 0, 50, 10], [80, 0, 90, 10]])],
        "scores": [np.array([0.9, 0.8, 0.7, 0.6, 0.5])],
        "classes": [np.array([0, 0, 0, 0, 0])],
    }
    counts = detection_errors(detections, truths)
    expected = {
        "correct": 1,
        "duplicate": 1,
        "localisation": 1,
        "confusion": 1,
        "background": 1,
        "both": 0,
        "missed": 0,
    }
    assert counts == expected
    assert detection_errors(detections, truths, score_threshold=0.95)["missed"] == 3


@pytest.mark.parametrize("flag", ["difficult", "crowd"])
def test_difficult_objects_and_crowds_cause_no_errors(flag):
    detections = {"boxes": [BOXES], "scores": [np.array([0.5, 0.9])], "classes": [np.zeros(2, int)]}
    truths = {"boxes": [BOXES], "classes": [np.zeros(2, int)], flag: [np.array([False, True])]}
    assert {name: n for name, n in detection_errors(detections, truths).items() if n} == {"correct": 1}
    assert detection_errors(detections, truths, score_threshold=0.95)["missed"] == 1
    assert scored_detections(detections, truths)[0].tolist() == [0.5]


def test_the_auroc_is_1_if_wrong_boxes_have_larger_uncertainties():
    detections = {"boxes": [BOXES, BOXES + 50], "scores": [np.full(2, 0.5)] * 2, "classes": [np.zeros(2, int)] * 2}
    truths = {"boxes": [BOXES[::-1], np.zeros((0, 4))], "classes": [np.zeros(2, int), np.zeros(0, int)]}
    doubts = {"good": [np.array([0.1, 0.2]), np.array([0.3, 0.4])], "coin": [np.array([1, 2])] * 2}
    assert false_positive_auroc(detections, truths, doubts) == {"good": 1, "coin": 0.5}
    assert np.isnan(false_positive_auroc(detections, truths, doubts, score_threshold=0.6)["good"])


def test_detections_are_calibrated_if_scores_are_the_shares_of_correct_ones():
    detections = {"boxes": [BOXES, BOXES + 50], "scores": [np.full(2, 0.5)] * 2, "classes": [np.zeros(2, int)] * 2}
    truths = {"boxes": [BOXES, np.zeros((0, 4))], "classes": [np.zeros(2, int), np.zeros(0, int)]}
    assert detection_calibration(detections, truths)["ece"] == 0
    assert detection_calibration(detections, truths)["ece_floor"] > 0
    wrong_class = truths | {"classes": [np.ones(2, int), np.zeros(0, int)]}
    assert detection_calibration(detections, wrong_class)["ece"] == 0.5
    assert np.isnan(detection_calibration(detections, truths, score_threshold=0.6)["ece"])


def test_lists_of_different_lengths_are_refused():
    one, none = {"boxes": [BOXES], "classes": [np.zeros(2, int)]}, {"boxes": [], "scores": [], "classes": []}
    for measure in (voc_average_precision, detection_errors):
        with pytest.raises(ValueError, match="detections have 0 images, truths have 1"):
            measure(none, one)
