import numpy as np
import pytest

from cnnlab.tasks import Classification, Detection, Ranking, Regression, Scoring, Segmentation


def test_a_classifier_without_errors_still_has_a_standard_error():
    # n = 8, z = 1: sqrt(0 + 1/256) / (1 + 1/8) = 0.0556
    report = {"accuracy": 1.0, "examples": 8, "ece": 0.0, "ece_low": 0.0}
    assert Classification().verdict(report) == "right 100.0 ± 5.6 %; well calibrated as far as 8 examples can tell"


def test_a_classifier_whose_interval_excludes_calibration_is_told_the_cure():
    # sqrt(0.25/100 + 1/40000) / 1.01 = 0.0498
    report = {"accuracy": 0.5, "examples": 100, "ece": 0.2, "ece_low": 0.1}
    right = "right 50.0 ± 5.0 %"
    off = "its confidence is off by 20.0 points on average"
    assert Classification().verdict(report) == f"{right}; {off} (--calibrate temperature)"
    assert Classification().verdict(report | {"calibrated": 1}) == f"{right}; {off}"
    assert Classification().verdict({"accuracy": 0.5, "examples": 100}) == right


def test_classes_have_precision_recall_and_f1():
    probs = np.eye(3)[[0, 0, 1, 0]]
    rows = {"probs": probs, "label": np.array([0, 0, 1, 1]), "class_names": ("a", "b", "c")}
    a, b, c = Classification().details(rows)["classes"]
    assert a == {
        "class": "a",
        "examples": 2,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
    }
    assert b == {"class": "b", "examples": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert c["examples"] == 0
    assert np.isnan([c["precision"], c["recall"], c["f1"]]).all()


def test_labels_of_an_image_have_precision_recall_and_f1():
    yes = np.array([[1, 0], [1, 1], [0, 0]])
    rows = {"probs": np.eye(2)[yes], "label": np.array([[1, 0], [0, 1], [1, 1]]), "class_names": ("a", "b")}
    a, b = Classification(kind="multilabel").details(rows)["classes"]
    assert a == {"class": "a", "examples": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert (b["examples"], b["precision"], b["recall"]) == (2, 1.0, 0.5)


def test_a_segmentation_names_its_worst_class():
    report = {"pixel_accuracy": 0.912, "mean_iou": 0.7}
    assert Segmentation().verdict(report) == "91.2 % of the pixels right; mean IoU 0.70"
    classes = [{"class": "road", "iou": 0.9}, {"class": "tree", "iou": 0.5}, {"class": "pole", "iou": float("nan")}]
    assert Segmentation().verdict(report | {"classes": classes}).endswith("mean IoU 0.70, lowest for tree (0.50)")


def test_a_regression_no_better_than_the_mean_is_told_so():
    assert (
        Regression().verdict({"mae": 1.234, "r2": 0.87})
        == "off by 1.23 on average; explains 87.0 % of the targets' variance"
    )
    assert (
        Regression().verdict({"mae": 2.0, "r2": 0.0}) == "off by 2 on average; no better than the mean of the targets"
    )


def test_a_detection_counts_its_objects_and_its_wrong_boxes():
    errors = {"correct": 8, "localisation": 1, "background": 2, "missed": 3}
    report = {"map": 0.41, "map50": 0.72, "errors": errors, "classes": [{"objects": 7}, {"objects": 5}]}
    found = "finds 8 of 12 objects, with 3 wrong boxes"
    assert Detection().verdict(report) == f"{found}; AP 0.72 at IoU .50, 0.41 over .50 to .95"
    assert Detection().verdict({"map": -1.0, "map50": -1.0}) == "no object to find"


def test_a_scoring_says_in_how_many_pairs_it_is_right_and_whether_that_is_more_than_chance():
    report = {"pairwise_accuracy": 0.875, "pairwise_accuracy_low": 0.75, "pairwise_accuracy_high": 0.9375}
    said = "the photo above has the higher score in 87.5 % of the pairs"
    assert Scoring().verdict({"pairwise_accuracy": 0.875}) == said
    assert Scoring().verdict(report) == f"{said} (75.0 to 93.8 %)"
    assert Scoring().verdict(report | {"pairwise_accuracy_low": 0.4}).endswith("; no better than chance")
    assert Scoring().verdict({"pairwise_accuracy": float("nan")}) == "no pair is complete, so no order can be judged"


def test_a_ranking_says_how_often_the_nearest_image_has_the_class():
    report = {"recall_at_1": 0.875, "map": 0.5}
    assert Ranking().verdict(report) == "the nearest image has the same class for 87.5 % of the images"
    nothing = {"recall_at_1": float("nan"), "map": float("nan")}
    assert Ranking().verdict(nothing) == "no class has two images, so none can be retrieved"
