"""Targets by hand: what is explained, for each task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, create_model, explain
from cnnlab.data import InputSpec
from cnnlab.explain import targets
from cnnlab.tasks import Classification, Detection, Regression, Segmentation

LOGITS = jnp.array([[1.0, 3.0, -2.0], [0.0, 0.5, 4.0]])


def trained(name, task, classes="abc", size=(16, 16), **options):
    spec = InputSpec(size, classes=tuple(classes))
    model = create_model(name, num_classes=task.head(spec), **options)
    return Trained(model.init(jax.random.key(0), jnp.zeros((1, *size, 1))), model, task, spec)


def logits_of(net):
    return jax.jit(net.network.apply)(net.variables, IMAGES)


IMAGES = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1))


def test_logits_probabilities_and_margins_are_read_by_class():
    np.testing.assert_allclose(targets.class_logit([1, 2])(LOGITS), [3, 4])
    np.testing.assert_allclose(targets.margin(1, 0)(LOGITS), [2, 0.5])
    np.testing.assert_allclose(targets.class_probability(2)(LOGITS), jax.nn.softmax(LOGITS)[:, 2], rtol=1e-6)


def test_one_logit_stands_for_two_classes():
    single = jnp.array([[2.0]])
    assert targets.class_logit(1)(single) == 2
    assert targets.class_logit(0)(single) == -2
    np.testing.assert_allclose(targets.class_probability(0)(single), jax.nn.sigmoid(-2.0), rtol=1e-6)


def test_the_probability_of_one_of_several_labels_is_the_sigmoid_of_its_own_logit():
    net = trained("lenet5", Classification("multilabel"))
    probs = jax.nn.sigmoid(logits_of(net))[:, 2]
    result = explain.saliency(net, IMAGES, targets.class_probability(2))
    np.testing.assert_allclose(result.target, probs, rtol=1e-5)
    by_logit = explain.saliency(net, IMAGES, 2).map
    np.testing.assert_allclose(result.map, (probs * (1 - probs))[:, None, None] * by_logit, rtol=1e-4, atol=1e-9)


def test_the_probabilities_of_yes_and_no_of_a_single_label_have_the_sum_one():
    net = trained("lenet5", Classification("multilabel"), classes="a")
    no, yes = (explain.saliency(net, IMAGES, targets.class_probability(i)).target for i in (0, 1))
    np.testing.assert_allclose(yes, jax.nn.sigmoid(logits_of(net))[:, 0], rtol=1e-5)
    np.testing.assert_allclose(no + yes, 1, rtol=1e-5)


def test_an_explanation_names_the_class_that_it_explains():
    net = trained("lenet5", Classification())
    assert (explain.saliency(net, IMAGES).label == logits_of(net).argmax(-1)).all()
    assert explain.occlusion(net, IMAGES, "b", window=16).label.tolist() == [1, 1]
    assert explain.saliency(net, IMAGES, targets.class_probability(2)).label.tolist() == [2, 2]
    assert explain.saliency(net, IMAGES, "a-b").label is None
    assert explain.saliency(net, IMAGES, lambda logits: logits.sum(-1)).label is None
    regression = trained("lenet5", Regression(), classes=("height", "width"))
    assert explain.saliency(regression, IMAGES, "width").label.tolist() == [1, 1]
    detector = trained("grid_detector", Detection(image_size=(16, 16)), classes="ab", features=(4, 4))
    assert explain.saliency(detector, IMAGES, targets.box(detector, 3, 1)).label.tolist() == [1, 1]


def test_a_region_is_the_mean_of_its_pixels():
    logits = jnp.arange(8.0).reshape(1, 2, 2, 2)  # of class 1: 1, 3, 5, 7
    assert targets.region(1)(logits) == 4
    assert targets.region(1, jnp.array([[0, 1], [0, 1]]))(logits) == 5
    assert targets.region(1, jnp.zeros((2, 2)))(logits) == 0


def test_the_default_target_is_the_most_probable_class():
    net = trained("lenet5", Classification())
    logits = logits_of(net)
    np.testing.assert_allclose(explain.saliency(net, IMAGES).target, logits.max(-1), rtol=1e-5)


def test_the_default_of_a_regression_is_its_first_number():
    net = trained("lenet5", Regression(), classes=("height", "width"))
    logits = logits_of(net)
    np.testing.assert_allclose(explain.saliency(net, IMAGES).target, logits[:, 0], atol=1e-6)
    np.testing.assert_allclose(explain.saliency(net, IMAGES, "width").target, logits[:, 1], atol=1e-6)


def test_a_class_of_a_segmentation_is_explained_over_the_pixels_that_are_given_to_it():
    net = trained("unet", Segmentation(), width=2, depth=1)
    logits = np.asarray(logits_of(net))
    mask = logits.argmax(-1)
    expected = [
        logits[i, ..., 2][mask[i] == 2].mean() if (mask[i] == 2).any() else logits[i, ..., 2].mean() for i in (0, 1)
    ]
    np.testing.assert_allclose(explain.saliency(net, IMAGES, 2).target, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["cells", "anchors"])
def test_the_target_of_a_box_is_what_decoding_says_of_it(kind):
    task = Detection(kind=kind, image_size=(16, 16), anchors=((4.0, 4.0), (8.0, 4.0)) if kind == "anchors" else "auto")
    net = trained("grid_detector", task, classes="ab", features=(4, 4))
    logits = logits_of(net)
    boxes = task.decode(task.link(logits))
    place, label = boxes["place"][:, 0], boxes["classes"][:, 0]
    np.testing.assert_allclose(targets.box(net, place, label)(logits), boxes["score"][:, 0], rtol=1e-5)
    sides = [targets.box(net, place, label, side)(logits) for side in ("left", "top", "right", "bottom")]
    np.testing.assert_allclose(np.clip(np.stack(sides, -1), 0, 16), boxes["boxes"][:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(explain.saliency(net, IMAGES).target, boxes["score"][:, 0], rtol=1e-5)


def test_a_unit_and_a_direction_of_any_layer_are_targets():
    net = trained("lenet5", Classification())
    _, state = net.network.apply(net.variables, IMAGES, capture_intermediates=True)
    conv, dense = (state["intermediates"][name]["__call__"][0] for name in ("conv1", "dense1"))
    unit = targets.unit(net, "conv1", 2, row=3, column=4)
    np.testing.assert_allclose(explain.saliency(net, IMAGES, unit).target, conv[:, 3, 4, 2], rtol=1e-5)
    vector = jnp.arange(dense.shape[-1], dtype=jnp.float32)
    result = explain.integrated_gradients(net, IMAGES, targets.direction(net, "dense1", vector))
    np.testing.assert_allclose(result.target, dense @ vector, rtol=1e-4)
    assert explain.occlusion(net, IMAGES, unit).map.shape == (2, 16, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: targets.unit(net, "conv7", 0), "unknown layer 'conv7'; did you mean"),
        (lambda net: targets.unit(net, "conv1", 6), r"channel must lie in 0..5 for conv1, found 6"),
        (lambda net: targets.unit(net, "conv1", 0, row=99, column=0), r"row must lie in 0..15 for conv1, found 99"),
        (lambda net: targets.unit(net, "dense1", 0, row=1), "give both row and column, or neither"),
        (lambda net: targets.direction(net, "dense1", jnp.ones(3)), r"vector must be \[120\] for dense1, found \[3\]"),
        (lambda net: targets.box(net, 0, 0, "area"), "unknown value of a box 'area'"),
    ],
)
def test_a_target_that_does_not_fit_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(trained("lenet5", Classification()))


def test_a_class_activation_map_does_not_explain_a_unit():
    net = trained("lenet5", Classification())
    with pytest.raises(ValueError, match="explains logits, not the layer conv1"):
        explain.grad_cam(net, IMAGES, targets.unit(net, "conv1", 0))


def test_a_function_of_the_logits_is_a_target():
    net = trained("lenet5", Classification())
    result = explain.input_x_gradient(net, IMAGES, lambda logits: 2 * logits[:, 0])
    np.testing.assert_allclose(result.map, 2 * explain.input_x_gradient(net, IMAGES, 0).map, rtol=1e-5, atol=1e-7)


def test_every_method_explains_a_network_of_ones_own_with_its_verdict():
    net = trained("lenet5", Classification(), dropout=0.5)
    result = explain.explain("grad_cam", net, IMAGES, 1, mc_samples=2, verdict=("deletion", "randomisation"))
    assert {"deletion", "random/deletion", "edges/deletion", "randomisation"} <= set(result.verdict)
    assert result.verdict["deletion"].shape == (2,)


def test_the_only_label_of_several_is_explained_by_its_yes():
    net = trained("lenet5", Classification("multilabel"), classes=("cat",))
    logit = logits_of(net)[:, 0]
    for target in (None, "cat", 0):
        np.testing.assert_allclose(explain.saliency(net, IMAGES, target).target, logit, rtol=1e-4)
    verdict = explain.explain("saliency", net, IMAGES, "cat", verdict="deletion").verdict
    assert (verdict["deletion"] > 0).all()  # a mean of probabilities


def test_a_number_of_a_regression_is_explained_in_its_unit():
    net = trained("lenet5", Regression(mean=(50.0, 0.0), std=(3.0, 1.0)), classes=("height", "width"))
    result = explain.saliency(net, IMAGES)
    np.testing.assert_allclose(result.target, 3 * logits_of(net)[:, 0] + 50, rtol=1e-5)
    np.testing.assert_allclose(
        result.map, 3 * explain.saliency(net, IMAGES, targets.output(0)).map, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (targets.class_logit(3), r"a target's class must lie in 0..2, found 3"),
        (targets.class_logit(-1), r"a target's class must lie in 0..2, found -1"),
        (targets.margin(0, 7), r"a target's class must lie in 0..2, found 7"),
        (targets.class_logit(np.zeros(5, int)), r"the target does not fit 2 images of logits \[3\]"),
        (targets.region(1), r"region is a target for logits \[B, H, W, k\], found \[B, 3\]"),
        ("a-a", "a margin is between two classes, found a-a"),
    ],
)
def test_a_class_that_the_logits_do_not_have_is_an_error(target, message):
    with pytest.raises(ValueError, match=message):
        explain.saliency(trained("lenet5", Classification()), IMAGES, target)


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (Classification(), (0, 0), "a box is a target for detection, found classification"),
        (Detection(kind="cells", image_size=(16, 16)), (999, 0), r"place must lie in 0..\d+, found 999"),
        (Detection(kind="cells", image_size=(16, 16)), (0, 3), r"label must lie in 0..2, found 3"),
    ],
)
def test_a_box_that_the_network_does_not_have_is_an_error(task, arguments, message):
    name = "grid_detector" if isinstance(task, Detection) else "lenet5"
    with pytest.raises(ValueError, match=message):
        targets.box(trained(name, task), *arguments)
