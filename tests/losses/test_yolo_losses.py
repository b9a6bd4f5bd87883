"""Tests of YOLO's grid, losses, anchors and both heads against values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab import losses, tasks
from cnnlab.data import InputSpec
from cnnlab.data.sources import shapes
from cnnlab.geometry import grid
from cnnlab.geometry.anchors import cluster_sizes, size_iou
from cnnlab.geometry.boxes import iou
from cnnlab.losses import yolo


def test_the_five_terms_are_those_of_the_papers_equation():
    # One cell with two boxes. The object is at (.5, .5) in its cell, .25 wide and .16 high; the roots are .5 and .4.
    terms = yolo.five_terms(
        jnp.array([[0.4, 0.7], [0.0, 0.0]]),
        jnp.array([[0.6, 0.1], [0.9, 0.9]]),
        jnp.array([0.8, 0.3]),
        jnp.array([0.2, 0.8]),
        jnp.array([0.5, 0.1]),
        present=jnp.array(1.0),
        true_centre=jnp.array([0.5, 0.5]),
        true_extent=jnp.array([0.25, 0.16]),
        classes=jnp.array(1),
    )
    expected = {
        "centre": 0.01 + 0.04,
        "size": 0.01 + 0.09,
        "object": 0.3**2,
        "no_object": 0.3**2,
        "classes": 0.04 + 0.04,
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_an_empty_cell_costs_its_confidences_alone():
    zeros = jnp.zeros((2, 2))
    terms = yolo.five_terms(
        zeros + 0.3,
        zeros + 0.3,
        jnp.array([0.5, 0.1]),
        jnp.array([0.5, 0.5]),
        jnp.zeros(2),
        present=jnp.array(0.0),
        true_centre=jnp.zeros(2),
        true_extent=jnp.zeros(2),
        classes=jnp.array(-1),
    )
    assert float(terms.pop("no_object")) == pytest.approx(0.25 + 0.01)
    assert not any(float(term) for term in terms.values())


def test_the_weights_of_the_paper_multiply_the_terms():
    batch = {"boxes": jnp.array([[[4.0, 4, 12, 12]]]), "classes": jnp.array([[0]])}
    logits = jax.random.normal(jax.random.key(0), (1, 2, 2, 12))
    value = lambda **weights: float(tasks.Detection(image_size=(16, 16), **weights).loss(logits, batch)[0][0])  # noqa: E731
    base = value(box_weight=0.0, no_object_weight=0.0)
    boxes, empty = (
        value(box_weight=1.0, no_object_weight=0.0) - base,
        value(box_weight=0.0, no_object_weight=1.0) - base,
    )
    assert min(boxes, empty) > 0
    assert value() == pytest.approx(base + 5 * boxes + 0.5 * empty, rel=1e-5)


@pytest.mark.parametrize("box_loss", ["squared", *losses.BOXES])
@pytest.mark.parametrize("kind", ["cells", "anchors"])
def test_losses_and_gradients_are_finite_for_boxes_without_area_and_on_the_edge(kind, box_loss):
    task = tasks.Detection(kind=kind, box_loss=box_loss, image_size=(16, 16), anchors=((4.0, 4.0), (9.0, 5.0)))
    boxes = jnp.array([[5.0, 5, 5, 5], [0, 0, 16, 16], [16, 16, 16, 16], [3, 3, 3, 9]])[:, None]
    batch = {"boxes": boxes, "classes": jnp.ones((4, 1), jnp.int32)}
    k = task.head(InputSpec((16, 16), classes="ab"))
    descend = jax.jit(jax.value_and_grad(lambda x: task.loss(x, batch)[0].sum()))
    for scale in (0.0, 1.0, 1e4):
        value, gradient = descend(scale * jax.random.normal(jax.random.key(0), (4, 2, 2, k)))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("box_loss", ["squared", *losses.BOXES])
@pytest.mark.parametrize("kind", ["cells", "anchors"])
def test_an_image_without_objects_has_a_loss_of_confidences_alone(kind, box_loss):
    options = {"kind": kind, "box_loss": box_loss, "no_object_weight": 0.0}
    task = tasks.Detection(image_size=(16, 16), anchors=((4.0, 4.0),), **options)
    batch = {"boxes": jnp.zeros((1, 3, 4)), "classes": jnp.full((1, 3), -1)}
    logits = jnp.ones((1, 2, 2, task.head(InputSpec((16, 16), classes="ab"))))
    value, gradient = jax.jit(jax.value_and_grad(lambda x: task.loss(x, batch)[0][0]))(logits)
    assert value == 0
    assert (gradient == 0).all()


# One cell of 16 x 16 pixels: zeros encode the box (6, 6, 10, 10), both for cells and for an anchor of 4 x 4.
ONE = {"image_size": (16, 16), "boxes_per_cell": 1, "anchors": ((4.0, 4.0),)}
TRUTH = {"boxes": jnp.array([[[8.0, 8, 16, 12]]]), "classes": jnp.array([[0]])}
ASPECTS = 4 / np.pi**2 * (np.arctan(2) - np.arctan(1)) ** 2
OVERLAPS = {
    "iou": 1 / 11,  # intersection 4, union 16 + 32 - 4
    "giou": 1 / 11 - 16 / 60,  # the enclosing box is 10 x 6, the union 44
    "diou": 1 / 11 - 20 / 136,  # centres (4, 2) apart, the diagonal is (10, 6)
    "ciou": 1 / 11 - 20 / 136 - ASPECTS**2 / (1 - 1 / 11 + ASPECTS),
}


@pytest.mark.parametrize("box_loss", losses.BOXES)
@pytest.mark.parametrize(
    ("kind", "numbers", "rest"),
    [
        ("cells", 7, (0.5 - 1 / 11) ** 2 + 0.5),
        ("anchors", 7, 2 * np.log(2)),
    ],  # of confidence and two classes
)
def test_the_box_loss_is_one_less_the_overlap_times_its_weight(kind, numbers, rest, box_loss):
    task = tasks.Detection(kind=kind, box_loss=box_loss, box_weight=3.0, **ONE)
    value, _ = task.loss(jnp.zeros((1, 1, 1, numbers)), TRUTH)
    assert value[0] == pytest.approx(3 * (1 - OVERLAPS[box_loss]) + rest, rel=1e-5)


def test_only_the_responsible_box_of_a_cell_has_a_box_loss():
    task = tasks.Detection(box_loss="giou", **ONE | {"boxes_per_cell": 2})
    logits = jnp.zeros((1, 1, 1, 12)).at[..., 5:9].set(0.5)  # the second box lies nearer to the object
    gradient = jax.jit(jax.grad(lambda x: task.loss(x, TRUTH)[0][0]))(logits)[0, 0, 0]
    assert (gradient[:4] == 0).all()
    assert gradient[5:9].any()


@pytest.mark.parametrize("box_loss", losses.BOXES)
def test_a_tiny_box_on_an_object_without_area_has_a_finite_gradient(box_loss):
    task = tasks.Detection(box_loss=box_loss, **ONE)
    batch = TRUTH | {"boxes": jnp.zeros((1, 1, 4))}
    descend = jax.jit(jax.value_and_grad(lambda x: task.loss(x, batch)[0][0]))
    for size in (-15.0, -20.0, -25.0, -60.0):  # near (0, 0) float32 can represent a box of 1e-20 pixels
        value, gradient = descend(jnp.array([-80.0, -80, size, size, 0, 0, 0])[None, None, None])
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("start", [0.0, -2.0])  # an IoU of 1/11; no overlap, in the other corner
@pytest.mark.parametrize("kind", ["cells", "anchors"])
def test_gradient_descent_on_giou_moves_a_box_onto_its_object(kind, start):
    task = tasks.Detection(kind=kind, box_loss="giou", **ONE)
    optimizer = optax.adam(0.1)

    def step(state, _):
        logits, moments = state
        updates, moments = optimizer.update(jax.grad(lambda x: task.loss(x, TRUTH)[0][0])(logits), moments)
        return (logits + updates, moments), iou(task.link(logits)["boxes"][0, 0, 0], TRUTH["boxes"][0])[0, 0]

    logits = jnp.zeros((1, 1, 1, 7)).at[..., :2].set(start)
    _, overlaps = jax.lax.scan(step, (logits, optimizer.init(logits)), length=100)
    assert overlaps[0] == pytest.approx(1 / 11 if start == 0 else 0, rel=1e-5)
    assert overlaps[-1] > 0.9


def test_boxes_come_back_from_their_cells():
    boxes = jnp.array([[3.0, 2, 9, 10], [20, 5, 31, 12], [17, 9, 29, 16]])
    cell = grid.cell_of(boxes, size=(16, 32), grid=(2, 4))
    assert cell.tolist() == [0, 7, 6]  # centres (6, 6), (25.5, 8.5), (23, 12.5) in cells of 8 x 8
    placed = grid.put(boxes, cell, jnp.zeros(3, jnp.int32), grid=(2, 4), slots=1, empty=0)
    centre, extent = grid.from_boxes(placed, size=(16, 32))
    np.testing.assert_allclose(centre[0, 0, 0], [0.75, 0.75])
    back = grid.to_boxes(centre, extent, size=(16, 32))
    np.testing.assert_allclose(back, placed, atol=1e-5)


def test_objects_of_one_cell_take_the_anchors_nearest_in_shape_until_there_is_none():
    task = tasks.Detection(kind="anchors", image_size=(16, 16), anchors=((4.0, 4.0), (10.0, 4.0)))
    wide, square = [3.0, 6, 13, 10], [6.0, 6, 10, 10]
    boxes = jnp.array([[wide, square, square, [0, 0, 0, 0]]])
    placed = task._placed({"boxes": boxes, "classes": jnp.array([[2, 1, 0, -1]])}, (1, 1))
    assert placed.classes[0, 0, 0].tolist() == [1, 2]
    assert placed.lost.tolist() == [1]
    second = task._placed({"boxes": boxes[:, 1:], "classes": jnp.array([[1, 0, -1]])}, (1, 1))
    assert second.classes[0, 0, 0].tolist() == [1, 0]  # the later square gets the free anchor


def test_an_anchors_numbers_come_back_as_its_box():
    task = tasks.Detection(kind="anchors", image_size=(16, 16), anchors=((4.0, 4.0), (10.0, 4.0)), score_threshold=0.1)
    cell = jnp.full((1, 2, 2, 14), -20.0)  # 2 (5 + 2)
    numbers = jnp.array([0.0, 0.0, np.log(0.8), np.log(1.5), 20.0, -20.0, 20.0])  # the second anchor
    detections = task.decode(task.link(cell.at[0, 1, 0, 7:].set(numbers)))
    np.testing.assert_allclose(detections.boxes[0, 0], [0, 9, 8, 15], atol=1e-5)  # centre (4, 12), 8 x 6
    assert detections.classes[0, :2].tolist() == [1, -1]
    assert detections.place[0, 0] == 2 * 2 + 1


def test_an_ignored_box_is_not_called_wrong():
    # Both anchors of the cell fit the object equally well; the first gets it, the second has no object.
    batch = {"boxes": jnp.array([[[2.0, 2, 6, 6]]]), "classes": jnp.array([[0]])}
    numbers = jnp.tile(jnp.array([0.0, 0, 0, 0, 3, 0]), 2).reshape(1, 1, 1, 12)
    options = {"kind": "anchors", "image_size": (8, 8), "anchors": ((4.0, 4.0), (4.0, 4.0))}
    penalised, ignored = (
        tasks.Detection(ignore_above=above, **options).loss(numbers, batch)[0].item() for above in (1.0, 0.6)
    )
    object_term, no_object = np.log1p(np.exp(-3.0)), np.log1p(np.exp(3.0))
    assert ignored == pytest.approx(object_term, rel=1e-5)
    assert penalised == pytest.approx(object_term + 0.5 * no_object, rel=1e-5)


def test_anchors_are_the_clusters_sizes_whatever_the_order():
    generator = np.random.default_rng(0)
    sizes = np.concatenate([generator.normal(c, 0.5, (50, 2)) for c in ([10, 10], [60, 20], [30, 80])])
    anchors = cluster_sizes(generator.permutation(sizes), 3)
    np.testing.assert_allclose(anchors, [[10, 10], [60, 20], [30, 80]], atol=0.5)
    assert size_iou(sizes, anchors).max(1).mean() > 0.9


def test_sizes_without_area_make_no_anchor():
    assert cluster_sizes(np.array([[0.0, 0], [4, 4], [0, 3]]), 2).tolist() == [[4, 4], [4, 4]]
    with pytest.raises(ValueError, match="at least one box with an area"):
        cluster_sizes(np.zeros((3, 2)), 2)


def test_the_data_fill_in_size_and_anchors():
    data = shapes("boxes", size=64, train=50, validation=4, test=4)
    task = tasks.Detection(kind="anchors", num_anchors=3).resolve(data)
    assert task.image_size == (64, 64)
    sides = np.array(task.anchors)  # shapes have radii of 7.7 to 14.1 pixels
    assert sides.shape == (3, 2)
    assert ((sides > 10) & (sides < 29)).all()
    assert task.head(data.spec) == 3 * (5 + 3)
    assert tasks.Detection().head(data.spec) == 2 * 5 + 3


def test_a_cells_second_box_is_found_too_and_padding_says_so():
    task = tasks.Detection(image_size=(16, 16), score_threshold=0.1)
    box = jnp.array([0.0, 0, 0, 0, 20.0])  # the middle of its cell, a quarter of the image wide and high
    logits = jnp.full((1, 2, 2, 12), -20.0).at[0, 0, 1, 5:10].set(box).at[0, 0, 1, 11].set(20.0)
    detections = task.decode(task.link(logits))
    np.testing.assert_allclose(detections.boxes[0, 0], [10, 2, 14, 6], atol=1e-5)
    assert detections.classes[0].tolist() == [1] + [-1] * 7
    assert detections.score[0, 1:].tolist() == [0] * 7


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ({}, [0.9, 0]),
        ({"suppression": "linear"}, [0.9, 0.8 * 0.2]),
        ({"suppression": "linear", "iou_threshold": 0.85}, [0.9, 0.8]),
        ({"suppression": "linear", "score_threshold": 0.2}, [0.9, 0]),
        ({"suppression": "linear", "max_boxes": 1}, [0.9]),
        ({"suppression": "gaussian"}, [0.9, 0.8 * np.exp(-0.64 / 0.5)]),
        ({"suppression": "gaussian", "sigma": 0.25}, [0.9, 0.8 * np.exp(-0.64 / 0.25)]),
    ],
)
def test_soft_suppression_lowers_the_score_of_an_overlapping_box(options, scores):
    boxes = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 8]])  # IoU .8
    outputs = {"boxes": boxes, "score": jnp.array([0.9, 0.8]), "probs": jnp.array([0.0, 1])}
    detections = tasks.Detection(image_size=(16, 16), **options).decode(
        {n: x[None, None, None] for n, x in outputs.items()}
    )
    np.testing.assert_allclose(detections.score[0], scores, rtol=1e-5)
    assert detections.classes[0].tolist() == [1 if score else -1 for score in scores]


@pytest.mark.parametrize("suppression", ["hard", "gaussian", "linear"])
def test_a_score_that_is_no_number_is_no_detection(suppression):
    task = tasks.Detection(image_size=(16, 16), suppression=suppression)
    detections = task.decode(task.link(jnp.full((1, 2, 2, 12), jnp.nan)))
    assert (detections.classes == -1).all()
    assert (detections.score == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "boxes"}, "kind must be cells or anchors"),
        ({"boxes_per_cell": 0}, "boxes_per_cell must be 1 or more"),
        ({"anchors": ((3.0, 0.0),)}, "anchors must be widths and heights above 0"),
        ({"box_loss": "gious"}, "unknown box_loss 'gious'; did you mean 'giou'"),
        ({"suppression": "soft"}, "unknown suppression 'soft'; known: gaussian, hard, linear"),
        ({"sigma": 0.0}, "sigma must be above 0, found 0.0"),
    ],
)
def test_wrong_options_of_a_detector_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tasks.Detection(**options)


def test_the_best_class_is_sought_once_a_cell_not_once_a_box():
    # XLA compiles very slowly if the argmax runs over a copy of the probabilities for each box.
    task = tasks.Detection(image_size=(32, 32))
    outputs = {"boxes": jnp.zeros((1, 2, 2, 2, 4)), "score": jnp.zeros((1, 2, 2, 2)), "probs": jnp.zeros((1, 2, 2, 20))}
    program = jax.make_jaxpr(task.decode)(outputs)
    argmax_shapes = [equation.invars[0].aval.shape for equation in program.eqns if equation.primitive.name == "argmax"]
    assert argmax_shapes == [(1, 2, 2, 20)]
