import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.geometry.suppression import non_maximum_suppression, soft_non_maximum_suppression

GOLDEN = json.loads((Path(__file__).parents[1] / "goldens/boxes.json").read_text())["nms"]


def kept_indices(selection):
    return np.asarray(selection.indices)[np.asarray(selection.valid)].tolist()


@pytest.mark.parametrize("threshold", ["0.2", "0.3", "0.5", "0.7"])
def test_keep_lists_equal_torchvision(threshold):
    boxes, scores = jnp.array(GOLDEN["xyxy"]), jnp.array(GOLDEN["scores"])
    selection = non_maximum_suppression(boxes, scores, iou_threshold=float(threshold))
    assert kept_indices(selection) == GOLDEN[f"keep_{threshold}"]


def plain(boxes, scores, classes, threshold):
    """Returns the boxes that the lecture's loop keeps: it takes the best, drops all that overlap it, and repeats."""
    rest, keep = sorted(range(len(boxes)), key=lambda i: -scores[i]), []
    while rest:
        best, *rest = rest
        keep.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        overlap = np.maximum(np.minimum(boxes[best, 2:], boxes[rest, 2:]) - low, 0).prod(-1)
        union = (boxes[best, 2:] - boxes[best, :2]).prod() + (boxes[rest, 2:] - boxes[rest, :2]).prod(-1) - overlap
        dropped = (overlap > threshold * union) & (classes[rest] == classes[best])
        rest = [i for i, drop in zip(rest, dropped, strict=True) if not drop]
    return keep


def test_keep_lists_of_4000_cases_with_ties_duplicates_and_empty_boxes_equal_the_plain_loop():
    rng = np.random.default_rng(0)  # small whole numbers and a threshold of 1/4: exact in float32
    low = rng.integers(0, 10, (4000, 20, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 7, low.shape)], -1).astype(np.float32)
    scores, classes = rng.integers(1, 6, (4000, 20)) / 8, rng.integers(0, 2, (4000, 20))
    run = jax.jit(jax.vmap(lambda *case: non_maximum_suppression(*case, iou_threshold=0.25)))
    selection = run(boxes, scores.astype(np.float32), classes)
    indices, valid = np.asarray(selection.indices), np.asarray(selection.valid)
    wrong = [i for i in range(4000) if indices[i][valid[i]].tolist() != plain(boxes[i], scores[i], classes[i], 0.25)]
    assert not wrong


def test_a_chain_of_overlaps_keeps_every_second_box():
    x = jnp.arange(30.0)
    boxes = jnp.stack([x, 0 * x, x + 2, 0 * x + 1], -1)  # neighbours overlap by 1/3, others not at all
    assert kept_indices(non_maximum_suppression(boxes, 1 - x / 100, iou_threshold=0.3)) == list(range(0, 30, 2))


def test_an_overlap_equal_to_the_threshold_stays():
    boxes = jnp.array([[0.0, 0, 2, 2], [0, 0, 2, 1]])
    assert kept_indices(non_maximum_suppression(boxes, jnp.array([0.9, 0.8]), iou_threshold=0.5)) == [0, 1]
    assert kept_indices(non_maximum_suppression(boxes, jnp.array([0.9, 0.8]), iou_threshold=0.49)) == [0]


def test_bad_scores_and_boxes_are_left_out_and_drop_nothing():
    boxes = jnp.array([[0.0, 0, 2, 2], [0, 0, 2, jnp.nan], [0, 0, jnp.inf, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    scores = jnp.array([jnp.nan, 0.9, 0.9, 0.2, 0.1])
    for suppress in (non_maximum_suppression, soft_non_maximum_suppression):
        assert kept_indices(suppress(boxes, scores, score_threshold=0.15)) == [3]


def test_the_result_has_the_size_asked_for():
    boxes, scores = jnp.array([[0.0, 0, 1, 1], [2, 2, 3, 3]]), jnp.array([0.5, 0.6])
    for suppress in (non_maximum_suppression, soft_non_maximum_suppression):
        assert kept_indices(suppress(boxes, scores, max_boxes=1)) == [1]
        assert suppress(boxes, scores, max_boxes=5).valid.tolist() == [True, True, False, False, False]


def test_the_diou_variant_spares_a_box_whose_centre_lies_apart():
    boxes = jnp.array([[0.0, 0, 4, 1], [1, 0, 5, 1]])  # IoU 3/5; less 1 / 26 of the diagonal: .5615
    for name, want in (("iou", [0]), ("diou", [0, 1])):
        assert (
            kept_indices(non_maximum_suppression(boxes, jnp.array([0.9, 0.8]), iou_threshold=0.58, overlap=name))
            == want
        )


def test_soft_suppression_lowers_scores_as_the_paper_says():
    boxes = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]])
    selection = soft_non_maximum_suppression(boxes, jnp.array([0.9, 0.8, 0.7]), sigma=0.5)
    assert kept_indices(selection) == [0, 2, 1]
    np.testing.assert_allclose(selection.scores, [0.9, 0.7, 0.8 * np.exp(-0.64 / 0.5)], rtol=1e-5)
    apart = soft_non_maximum_suppression(boxes, jnp.array([0.9, 0.8, 0.7]), jnp.array([0, 1, 0]))
    np.testing.assert_allclose(apart.scores, [0.9, 0.8, 0.7], rtol=1e-6)


def test_shapes_and_names_are_checked():
    boxes, scores = jnp.zeros((3, 4)), jnp.zeros(3)
    with pytest.raises(ValueError, match=r"scores must be \[3\]"):
        non_maximum_suppression(boxes, scores[:2])
    with pytest.raises(ValueError, match="unknown overlap 'giou'"):
        non_maximum_suppression(boxes, scores, overlap="giou")
    with pytest.raises(ValueError, match="max_boxes must be 1 or more, found 0"):
        soft_non_maximum_suppression(boxes, scores, max_boxes=0)
