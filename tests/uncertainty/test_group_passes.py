"""Detections grouped over passes, compared with results by hand."""

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab import tasks
from cnnlab.uncertainty.detections import group_passes


def passes(*each, k=2):
    """Returns a prediction over passes from a list of (box, score, probs) for each pass."""
    most = max(1, *(len(detections) for detections in each))
    out = {
        "boxes": np.zeros((len(each), most, 4)),
        "score": np.zeros((len(each), most)),
        "classes": np.full((len(each), most), -1),
        "probs": np.zeros((len(each), most, k)),
    }
    for t, detections in enumerate(each):
        for i, (box, score, probs) in enumerate(detections):
            out["boxes"][t, i], out["score"][t, i], out["probs"][t, i] = box, score, probs
            out["classes"][t, i] = int(np.argmax(probs))
    return cnnlab.Prediction(out)


BOX, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)


def test_an_object_has_its_mean_its_spread_and_its_frequency():
    objects = group_passes(
        passes([(BOX, 0.9, (1, 0))], [(NEAR, 0.5, (0, 1)), (FAR, 0.8, (1, 0))], [(BOX, 0.7, (1, 0))], [])
    )
    assert objects.frequency.tolist() == [0.75, 0.25]
    np.testing.assert_allclose(objects.boxes, [[0, 0, 10, 28 / 3], FAR])
    np.testing.assert_allclose(objects.deviation[0], [0, 0, 0, np.sqrt(8) / 3])  # of 10, 8, 10
    np.testing.assert_allclose(objects.score, [0.7, 0.8])
    np.testing.assert_allclose(objects.probs, [[2 / 3, 1 / 3], [1, 0]])
    # Each pass is sure of its class, so all the entropy is disagreement.
    entropy = np.log(3) - 2 / 3 * np.log(2)
    np.testing.assert_allclose(objects.entropy, [entropy, 0], atol=1e-12)
    np.testing.assert_allclose(objects.mutual_information, [entropy, 0], atol=1e-12)


def test_two_detections_of_one_pass_are_two_objects():
    objects = group_passes(passes([(BOX, 0.9, (1, 0)), (NEAR, 0.8, (1, 0))], [(BOX, 0.7, (1, 0))]))
    assert objects.frequency.tolist() == [1, 0.5]
    assert objects.boxes.tolist() == [list(BOX), list(NEAR)]


def test_passes_that_find_nothing_give_no_object():
    objects = group_passes(passes([], [(BOX, 0.05, (1, 0))]))
    assert objects.boxes.shape == (0, 4)
    assert objects.probs.shape == (0, 2)
    assert len(objects.frequency) == 0


def test_a_threshold_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"iou_threshold must lie in 0\.\.1, found 2"):
        group_passes(passes([]), iou_threshold=2)


def test_the_samples_of_a_detector_can_be_decoded_and_grouped():
    network = cnnlab.create_model("grid_detector", num_classes=12, features=(4, 4))
    task = tasks.Detection(image_size=(16, 16), score_threshold=0.0, max_boxes=6)
    images = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    variables = cnnlab.nn.init(network, images, jax.random.key(0))
    trained = cnnlab.Trained(variables, network, task, cnnlab.InputSpec((16, 16), 3, classes=("ant", "bee")))
    mc = cnnlab.mc_predict(trained, images, key=jax.random.key(1), num_samples=5, return_samples=True)
    each = jax.tree.map(lambda leaf: leaf[0], mc.samples)  # [T, ...] of the first image
    objects = group_passes(task.decode(each), score_threshold=0.0)
    assert (objects.frequency <= 1).all()
    assert len(objects.boxes) >= 6
    assert (objects.mutual_information >= 0).all()
