import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import losses, tasks
from cnnlab.data import from_arrays
from cnnlab.metrics.segmentation.doubt import doubt_scores
from cnnlab.training.experiment import Experiment
from cnnlab.training.plan import make_plan

KINDS = ["cross_entropy", "focal", *losses.REGIONS]
LOGITS = jax.random.normal(jax.random.key(0), (2, 3, 4, 2))
SPLITS = ("train", "validation", "test")
MASK = jnp.array([[[0, 1, 1, -1]] * 3, [[-1] * 4] * 3])


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_all_ignored_has_neither_loss_nor_weight_nor_gradient(kind):
    task = tasks.Segmentation(kind=kind, class_weights=(0.5, 2.0))
    value, weight = task.loss(LOGITS, {"mask": MASK})
    gradient = jax.grad(lambda z: task.loss(z, {"mask": MASK})[0].sum())(LOGITS)
    assert value[1] == weight[1] == 0
    assert (gradient[1] == 0).all()
    assert jnp.isfinite(gradient).all()
    assert value[0] > 0


def test_several_losses_are_added():
    both = tasks.Segmentation(kind=("cross_entropy", "dice")).loss(LOGITS, {"mask": MASK})[0]
    each = [tasks.Segmentation(kind=kind).loss(LOGITS, {"mask": MASK})[0] for kind in ("cross_entropy", "dice")]
    np.testing.assert_allclose(both, each[0] + each[1], rtol=1e-6)


def test_the_parameters_of_a_loss_reach_it():
    known = {"mask": MASK[:1]}
    focal = tasks.Segmentation(kind="focal", gamma=0.0).loss(LOGITS[:1], known)[0]
    np.testing.assert_allclose(focal, tasks.Segmentation().loss(LOGITS[:1], known)[0], rtol=1e-6)
    half = tasks.Segmentation(kind="tversky", alpha=0.5, beta=0.5).loss(LOGITS[:1], known)[0]
    np.testing.assert_allclose(half, tasks.Segmentation(kind="dice").loss(LOGITS[:1], known)[0], rtol=1e-6)
    with pytest.raises(ValueError, match="alpha and beta above 0"):
        tasks.Segmentation(alpha=0.0)


def test_the_weighted_loss_of_a_batch_equals_torch():
    torch = pytest.importorskip("torch")
    mask = jnp.array([[[0, 1, 1, -1]] * 3, [[1, 0, 0, 0]] * 3])
    value, weight = tasks.Segmentation(class_weights=(0.3, 2.0)).loss(LOGITS, {"mask": mask})
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(np.moveaxis(np.array(LOGITS), -1, 1)),
        torch.from_numpy(np.array(mask, np.int64)),
        weight=torch.tensor([0.3, 2.0]),
        ignore_index=-1,
    )
    assert ((value * weight).sum() / weight.sum()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_pixel_of_weight_3_counts_as_three():
    weights = jnp.ones(MASK.shape).at[0, 0, 1].set(3)
    value, _ = tasks.Segmentation().loss(LOGITS, {"mask": MASK, "pixel_weight": weights})
    each = losses.cross_entropy(LOGITS, MASK)
    assert value[0].item() == pytest.approx(((each[0].sum() + 2 * each[0, 0, 1]) / 11).item(), rel=1e-6)


def test_one_sigmoid_is_the_binary_cross_entropy():
    task = tasks.Segmentation(sigmoid=True)
    logits = LOGITS[..., :1]
    value, _ = task.loss(logits, {"mask": MASK})
    expected = losses.binary_cross_entropy(logits[0, ..., 0], MASK[0]).sum() / 9
    assert value[0].item() == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(task.link(logits)["probs"][..., 1], jax.nn.sigmoid(logits[..., 0]), rtol=1e-6)


def masked(*masks):
    part = {"image": np.zeros(np.shape(masks), np.uint8), "mask": np.array(masks)}
    return from_arrays({"train": part, "validation": part}, classes=("a", "b", "c"))


def test_weights_by_frequency_follow_their_formulas():
    # Of 8 pixels, a has 4 + 2, in both images; b and c have 1 each, a quarter of the second image.
    data = masked([[0, 0], [0, 0]], [[0, 0], [1, 2]])
    resolve = lambda kind: tasks.Segmentation(class_weights=kind).resolve(data).class_weights  # noqa: E731
    assert resolve("balanced") == pytest.approx((8 / 18, 8 / 3, 8 / 3), abs=1e-6)
    assert resolve("median") == pytest.approx((0.25 / 0.75, 1, 1), abs=1e-6)


def test_a_class_that_training_lacks_has_no_weight_by_frequency():
    data = masked([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="balanced class weights need every class in training; 'c' is missing"):
        tasks.Segmentation(class_weights="balanced").resolve(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "dise"}, "unknown loss 'dise'; did you mean 'dice'"),
        ({"kind": ()}, "kind must name a loss"),
        ({"class_weights": (0.0, 0.0)}, "class_weights must be 0 or more, not all of them 0"),
        ({"class_weights": "balance"}, "unknown class_weights 'balance'; did you mean 'balanced'"),
    ],
)
def test_a_task_that_cannot_be_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        tasks.Segmentation(**options)


def test_pixels_are_scored_by_their_doubt_and_ignored_ones_left_out():
    probs = jnp.array([[[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]]])
    variance = {"probs": jnp.array([[[[0.1] * 2, [0.2] * 2, [0.3] * 2, [9.0] * 2]]])}
    rows = tasks.Segmentation().rows({"probs": probs, "variance": variance}, {"mask": jnp.array([[[0, 0, 0, -1]]])})
    scores = tasks.Segmentation().summary(jax.tree.map(np.asarray, rows))
    assert scores["pixel_accuracy"] == pytest.approx(2 / 3)
    assert scores["error_auroc_variance"] == scores["error_auroc_confidence"] == 1
    # each bin holds one pixel: (.1 + .2 + .7) / 3
    assert scores["ece"] == pytest.approx(1 / 3, abs=1e-6)


def test_setting_the_least_sure_tenth_aside_leaves_the_accuracy_of_the_others():
    confidence = np.linspace(0.5, 1, 100)
    correct = np.arange(100) >= 8
    correct[50] = False
    scores = doubt_scores(confidence, correct, {})
    assert scores["accuracy_without_10"] == pytest.approx(89 / 90)
    assert scores["accuracy_without_1"] == pytest.approx(91 / 99)
    assert np.isnan(doubt_scores(confidence, correct | True, {})["error_auroc_confidence"])
    assert doubt_scores(confidence[:0], correct[:0], {}) == {}


def test_a_unet_begins_to_learn_drawn_shapes_and_doubts_where_it_errs(tmp_path):
    experiment = Experiment(
        model=cnnlab.Choice("unet", width=8, depth=2, spatial_dropout=0.1),
        data=cnnlab.Choice("shapes", annotation="mask", size=16, train=256, validation=16, test=32),
        task=cnnlab.Choice("segmentation", kind=("cross_entropy", "dice")),
        optimizer=cnnlab.Optimizer(learning_rate=5e-3),
        training=cnnlab.Training(epochs=4, batch_size=16),
    )
    trained = cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert cnnlab.load(tmp_path / "run").task == trained.task
    report = cnnlab.evaluate(tmp_path / "run", mc_samples=4, figures=tmp_path / "figures", details=True)
    assert np.mean([one["iou"] for one in report["classes"]]) == pytest.approx(report["mean_iou"])
    assert all(0 <= one[name] <= 1 for one in report["classes"] for name in ("boundary_f1", "panoptic_quality"))
    assert all({"v_rand", "v_info"} <= set(one) for one in report["classes"])
    assert report["mean_iou"] > 0.4
    assert report["error_auroc_entropy"] > 0.8
    assert 0 <= report["error_auroc_variance"] <= 1
    assert report["accuracy_without_10"] > report["pixel_accuracy"]
    assert (tmp_path / "figures" / "masks.png").stat().st_size > 1000
    drawn = [path.name for path in (tmp_path / "figures" / "images").iterdir()]
    assert len(drawn) == 20
    assert set(drawn) <= {f"{i:04}.png" for i in range(32)}


def test_a_unet_that_predicts_fewer_pixels_than_its_input_raises_an_error_with_a_remedy():
    part = {"image": np.zeros((4, 64, 64, 1), np.uint8), "mask": np.zeros((4, 64, 64), np.int32)}
    data = from_arrays(dict.fromkeys(("train", "validation", "test"), part), classes=("a", "b"))
    model = cnnlab.Choice("unet", width=2, depth=1, border="valid")
    experiment = Experiment(model=model, task=cnnlab.Choice("segmentation"), training=cnnlab.Training(batch_size=4))
    with pytest.raises(ValueError, match="take --model.border mirror, which predicts every pixel"):
        make_plan(experiment, data=data)


def test_the_mean_entropy_leaves_ignored_pixels_out():
    network = cnnlab.create_model("encoder_decoder", num_classes=2, features=2, spatial_dropout=0.5)
    spec, images = cnnlab.InputSpec((8, 8), 1, classes=("a", "b")), np.zeros((3, 8, 8, 1), np.uint8)
    images[:, 2:] = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 1))
    variables = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    trained = cnnlab.Trained(variables, network, tasks.Segmentation(), spec)
    mask = np.where(np.arange(8)[:, None] + np.zeros((3, 8, 8)) < 2, -1, 1).astype(np.int32)
    split = {"image": images, "mask": mask}
    report = cnnlab.evaluate(trained, from_arrays(dict.fromkeys(SPLITS, split), classes=("a", "b")), mc_samples=3)
    key = jax.random.fold_in(jax.random.key(0), 0)
    entropy = np.asarray(cnnlab.mc_predict(trained, images, key=key, num_samples=3).entropy)
    assert report["entropy"] == pytest.approx(entropy[:, 2:].mean(), rel=1e-5)


def test_images_of_another_size_are_measured_and_of_other_channels_refused():
    network = cnnlab.create_model("encoder_decoder", num_classes=2, features=2)
    spec, images = cnnlab.InputSpec((8, 8), 1, classes=("a", "b")), np.zeros((3, 16, 24, 1), np.uint8)
    trained = cnnlab.Trained(
        network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))), network, tasks.Segmentation(), spec
    )
    split = {"image": images, "mask": np.ones((3, 16, 24), np.int32)}
    guess = np.asarray(cnnlab.predict(trained, images).mask)
    report = cnnlab.evaluate(trained, from_arrays(dict.fromkeys(SPLITS, split), classes=("a", "b")))
    assert report["pixel_accuracy"] == pytest.approx((guess == 1).mean())
    coloured = split | {"image": images.repeat(3, -1)}
    with pytest.raises(ValueError, match="for the channels 1, arrays has 3"):
        cnnlab.evaluate(trained, from_arrays(dict.fromkeys(SPLITS, coloured), classes=("a", "b")))


def test_a_loss_of_ones_own_is_a_line_in_its_table_and_gets_the_options_it_names(monkeypatch):
    def missed(probs, labels, *, beta, classes=None):
        return beta * (probs[..., 0] * (labels == 1)).sum((1, 2))

    monkeypatch.setitem(losses.REGIONS, "missed", missed)
    monkeypatch.setitem(losses.PIXELS, "flat", lambda logits, labels, *, gamma: jnp.full(labels.shape, gamma))
    task = tasks.Segmentation(kind=("missed", "flat"), beta=0.5, gamma=3.0)
    value, _ = task.loss(jnp.zeros((2, 3, 4, 2)), {"mask": MASK})
    assert value.tolist() == [0.5 * 6 * 0.5 + 3, 0]  # six pixels of class 1, each with a probability of one half
