import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from cnnlab.geometry.boxes import iou
from cnnlab.metrics import classification, regression
from cnnlab.metrics.calibration import errors as calibration
from cnnlab.metrics.detection import coco as detection
from cnnlab.metrics.names import larger_is_better
from cnnlab.metrics.segmentation import confusion as segmentation


@pytest.fixture
def guesses():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), 300)
    return probs, rng.integers(0, 4, 300)


def test_classification_metrics_equal_scikit_learns(guesses):
    probs, labels = guesses
    assert classification.accuracy(probs, labels) == sklearn.metrics.accuracy_score(labels, probs.argmax(1))
    balanced = sklearn.metrics.balanced_accuracy_score(labels, probs.argmax(1))
    assert classification.balanced_accuracy(probs, labels) == pytest.approx(balanced)
    nll = sklearn.metrics.log_loss(labels, probs)
    assert classification.negative_log_likelihood(probs, labels) == pytest.approx(nll, rel=1e-12)
    onehot = (labels[:, None] == np.arange(4)).astype(float)
    each = [sklearn.metrics.brier_score_loss(onehot[:, k], probs[:, k]) for k in range(4)]
    assert classification.brier(probs, labels) == pytest.approx(sum(each), rel=1e-12)
    table = sklearn.metrics.confusion_matrix(labels, probs.argmax(1))
    assert (classification.confusion(labels, probs.argmax(1), 4) == table).all()


def test_ece_by_hand():
    # Bin (.8, .867] has 2 of mean .85, one correct: |.5 - .85| * 2 / 5. Bin (.933, 1] has 3 of mean .98: .02 * 3 / 5.
    confidence, correct = np.array([0.84, 0.86, 0.96, 0.98, 1.0]), np.array([1, 0, 1, 1, 1])
    assert calibration.expected_calibration_error(confidence, correct) == pytest.approx(0.7 / 5 + 0.06 / 5)


def test_confidence_1_and_bin_edges_fall_into_the_bin_below():
    bins = calibration.reliability(np.array([0.0, 0.5, 1.0]), np.array([0, 1, 1]), bins=2)
    assert bins.count.tolist() == [2, 1]


@pytest.mark.parametrize(("n", "floor"), [(200, 0.052), (1000, 0.023), (10_000, 0.0071)])
def test_the_noise_floor_is_the_published_one_for_beta_8_1_2(n, floor):
    confidence = np.random.default_rng(0).beta(8, 1.2, n)
    assert calibration.ece_floor(confidence, 15) == pytest.approx(floor, rel=0.1)


def test_regression_errors_equal_scikit_learns():
    rng = np.random.default_rng(0)
    targets, values = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    got = regression.errors(values, targets)
    assert got["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(targets, values))
    assert got["r2"] == pytest.approx(sklearn.metrics.r2_score(targets, values))
    assert got["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(targets, values))


def test_segmentation_scores_equal_scikit_learns():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    got = segmentation.scores(sklearn.metrics.confusion_matrix(truth, guess))
    assert got["mean_iou"] == pytest.approx(sklearn.metrics.jaccard_score(truth, guess, average="macro"))
    assert got["dice"] == pytest.approx(sklearn.metrics.f1_score(truth, guess, average="macro"))
    assert got["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, guess))


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
    assert segmentation.scores(np.diag([3, 0, 5]))["mean_iou"] == 1


def test_iou_equals_torchvision(goldens):
    boxes = np.array(goldens["boxes"]["xyxy"])
    want = np.array(goldens["boxes"]["iou_8x8"])
    np.testing.assert_allclose(iou(boxes[:8], boxes[8:16]), want, atol=1e-9)


def test_iou_of_empty_boxes_is_0():
    empty = np.array([[3.0, 3, 3, 3]])
    assert iou(empty, empty).tolist() == [[0]]


def test_average_precision_of_torchmetrics_documented_example():
    detections = {
        "boxes": [np.array([[258.0, 41, 606, 285]])],
        "scores": [np.array([0.536])],
        "classes": [np.zeros(1, int)],
    }
    got = detection.coco_scores(
        detections, {"boxes": [np.array([[214.0, 41, 562, 285]])], "classes": [np.zeros(1, int)]}
    )
    assert [got["map"], got["map50"], got["map75"], got["map_small"]] == pytest.approx([0.6, 1, 1, -1])


COCO_100 = (
    0.503647,
    0.696973,
    0.571667,
    0.593252,
    0.557991,
    0.489363,
    0.386813,
    0.593680,
    0.595353,
    0.654764,
    0.603130,
)


def test_all_coco_numbers_equal_pycocotools_on_100_images(shared):
    folder = shared / "reference_vectors/review_detection_metrics/tests/test_coco_eval"
    truths = json.loads((folder / "gts/sampled_gts_bbox_area.json").read_text())["annotations"]
    detections = json.loads((folder / "cocoapi_results.json").read_text())
    images = sorted({item["image_id"] for item in truths + detections})
    boxes, scores, classes = _padded(detections, images, 100)
    true_boxes, _, true_classes = _padded(truths, images, 100)
    got = detection.coco_scores(
        {"boxes": boxes, "scores": scores, "classes": classes}, {"boxes": true_boxes, "classes": true_classes}
    )
    np.testing.assert_allclose(list(got.values()), [*COCO_100, 0.553744], atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("drawn", "plain"), ("drawn", "flagged"), ("voc", "plain")])
def test_all_coco_numbers_equal_pycocotools(name, kind):
    table = json.loads((Path(__file__).parents[1] / "goldens" / "average_precision.json").read_text())[name]
    images = range(table["images"])
    objects, rows = (np.array(table[part], float) for part in ("objects", "detections"))
    objects, rows = ([part[part[:, 0] == i] for i in images] for part in (objects, rows))
    truths = {"classes": [part[:, 1] for part in objects], "boxes": [part[:, 2:6] for part in objects]}
    if kind == "flagged":
        truths |= {flag: [part[:, 6 + i] for part in objects] for i, flag in enumerate(("area", "crowd", "difficult"))}
    detections = {"classes": [part[:, 1] for part in rows], "scores": [part[:, 2] for part in rows]}
    got = detection.coco_scores(detections | {"boxes": [part[:, 3:] for part in rows]}, truths)
    np.testing.assert_allclose(list(got.values()), table[kind], atol=1e-9)


def test_a_detection_within_a_crowd_and_a_class_without_objects_do_not_count():
    truths = {"boxes": [[[0, 0, 50, 50], [100, 100, 200, 200]]], "classes": [[0, 0]], "crowd": [[False, True]]}
    boxes = [[[110, 110, 120, 120], [0, 0, 50, 50], [0, 0, 9, 9]]]
    got = detection.coco_scores({"boxes": boxes, "scores": [[0.9, 0.8, 0.99]], "classes": [[0, 0, 1]]}, truths)
    assert got["map"] == pytest.approx(1)
    assert (got["mar_1"], got["mar_10"], got["map_small"], got["map_large"]) == (0, 1, -1, -1)


def _padded(items, images, n):
    boxes, scores, classes = np.zeros((len(images), n, 4)), np.zeros((len(images), n)), np.full((len(images), n), -1)
    for i, image in enumerate(images):
        mine = [item for item in items if item["image_id"] == image]
        for j, item in enumerate(mine):
            x, y, w, h = item["bbox"]
            boxes[i, j], scores[i, j], classes[i, j] = (x, y, x + w, y + h), item.get("score", 1), item["category_id"]
    return boxes, scores, classes


def test_detections_and_truths_of_different_images_are_refused():
    with pytest.raises(ValueError, match="detections have 1 images, truths have 0"):
        detection.coco_scores({"boxes": [[]], "scores": [[]], "classes": [[]]}, {"boxes": [], "classes": []})


def test_gaussian_scores_equal_the_density_and_the_integral_over_the_distribution():
    rng = np.random.default_rng(0)
    values, variances, targets = rng.normal(size=(8, 1)), rng.uniform(0.2, 2, (8, 1)), rng.normal(size=(8, 1))
    got = regression.gaussian_scores(values, variances, targets, level=0.8)
    normal = scipy.stats.norm(values, np.sqrt(variances))
    grid = np.linspace(-20, 20, 400_001)
    gaps = (scipy.stats.norm.cdf(grid, values, np.sqrt(variances)) - (grid >= targets)) ** 2
    assert got["crps"] == pytest.approx(np.trapezoid(gaps, grid, axis=1).mean(), abs=1e-4)
    assert got["nll"] == pytest.approx(-normal.logpdf(targets).mean())
    low, high = normal.interval(0.8)
    assert got["coverage"] == ((low <= targets) & (targets <= high)).mean()
    assert got["sharpness"] == pytest.approx((high - low).mean())


@pytest.mark.parametrize(
    ("values", "variances", "targets", "message"),
    [
        (
            np.zeros((3, 1)),
            np.ones((3, 1)),
            np.zeros(3),
            r"values and targets must have one shape, found \(3, 1\) and",
        ),
        (np.zeros((0, 1)), np.ones((0, 1)), np.zeros((0, 1)), "values must hold one number or more"),
        (np.zeros(2), np.ones(2), np.array([1.0, np.nan]), r"targets must be finite, found targets\[1\] = nan"),
        (np.zeros(2), np.array([1.0, -0.5]), np.zeros(2), "variances must be 0 or more, found -0.5"),
    ],
)
def test_gaussian_scores_refuse_bad_arrays(values, variances, targets, message):
    with pytest.raises(ValueError, match=message):
        regression.gaussian_scores(values, variances, targets)


def test_a_variance_of_0_scores_as_the_absolute_error():
    got = regression.gaussian_scores(np.array([[1.0]]), np.array([[0.0]]), np.array([[3.0]]))
    assert (got["crps"], got["coverage"], got["sharpness"]) == (2, 0, 0)


def test_the_scores_without_objects_or_without_detections():
    box, none = {"boxes": [np.array([[0.0, 0, 9, 9]])], "classes": [np.zeros(1, int)]}, {"boxes": [[]], "classes": [[]]}
    scores = detection.coco_scores(box | {"scores": [np.ones(1)]}, none)
    assert set(scores.values()) == {-1}
    missed = detection.coco_scores(none | {"scores": [[]]}, box)
    assert (missed["map"], missed["mar_100"], missed["map_large"]) == (0, 0, -1)


def test_a_detection_scored_nan_is_left_out():
    boxes = [np.array([[0.0, 0, 9, 9]] * 2)]
    detections = {"boxes": boxes, "scores": [np.array([np.nan, 0.5])], "classes": [np.zeros(2, int)]}
    assert detection.coco_scores(detections, {"boxes": [boxes[0][:1]], "classes": [np.zeros(1, int)]})["map"] == 1


TWO = np.array([[0.0, 0, 50, 50], [100, 0, 150, 50]])


@pytest.mark.parametrize("flag", ["difficult", "crowd"])
def test_coco_counts_neither_difficult_objects_nor_crowds_nor_their_detections(flag):
    detections = {"boxes": [TWO], "scores": [np.array([0.5, 0.9])], "classes": [np.zeros(2, int)]}
    truths = {"boxes": [TWO], "classes": [np.zeros(2, int)]}
    assert detection.coco_scores(detections, truths | {flag: [np.array([False, True])]})["map"] == pytest.approx(1)
    none = detections | {"boxes": [TWO[:1]], "scores": [np.ones(1)], "classes": [np.zeros(1, int)]}
    assert detection.coco_scores(none, truths | {flag: [np.array([False, True])]})["mar_100"] == 1


def test_a_crowd_excuses_every_detection_within_it_a_difficult_object_only_one():
    inside = np.array([[100.0, 0, 150, 25], [100, 0, 150, 26], [0, 0, 50, 50]])
    detections = {"boxes": [inside], "scores": [np.array([0.9, 0.8, 0.7])], "classes": [np.zeros(3, int)]}
    truths = {"boxes": [TWO], "classes": [np.zeros(2, int)]}
    flagged = [np.array([False, True])]
    assert detection.coco_tables(detections, truths | {"crowd": flagged}).precision[0, 0, 0] == pytest.approx(1)
    assert detection.coco_tables(detections, truths | {"difficult": flagged}).precision[0, 0, 0] == pytest.approx(0.5)


def test_a_class_has_its_objects_average_precision_and_curve():
    detections = {"boxes": [TWO[[0, 0]]], "scores": [np.array([0.9, 0.8])], "classes": [np.zeros(2, int)]}
    truths = {"boxes": [TWO], "classes": [np.zeros(2, int)]}
    tables = detection.coco_tables(detections, truths)
    assert tables.objects.tolist() == [[2, 0, 2, 0]]
    assert tables.precision[0, 0] == pytest.approx(np.full(10, 51 / 101))  # the recalls 0 to .50 have a precision of 1
    curve = detection.coco_curves(detections, truths)[0]
    assert (curve.precision.tolist(), curve.recall.tolist()) == ([1, 0.5], [0.5, 0.5])


@pytest.mark.parametrize("score", [classification.negative_log_likelihood, classification.brier])
@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        ([[0.1, 0.9]], [-1], "labels must lie in 0..1"),
        ([[2.0, 3.0]], [0], "probs"),
        (np.empty((0, 2)), np.empty(0, int), "probs must hold one example or more"),
    ],
)
def test_scores_refuse_bad_probabilities_and_bad_labels(score, probs, labels, message):
    with pytest.raises(ValueError, match=message):
        score(np.asarray(probs), np.asarray(labels))


def test_a_users_metric_is_an_entry_in_the_table(monkeypatch):
    monkeypatch.setitem(
        regression.METRICS, "bias", regression.Metric(lambda values, targets: (values - targets).mean())
    )
    assert regression.errors(np.array([[1.0], [4.0]]), np.array([[0.0], [2.0]]))["bias"] == 1.5


def test_the_best_step_can_be_chosen_by_every_error():
    assert {name: larger_is_better(name) for name in regression.METRICS} == {"rmse": False, "mae": False, "r2": True}
