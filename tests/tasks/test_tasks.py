import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import tasks
from cnnlab.data import InputSpec, from_arrays
from cnnlab.data.sources import shapes
from cnnlab.files.photo import Photo
from cnnlab.training.plan import build_task, load_experiment_data

EASY_STRIPS = {"validation": 128, "noise": 0.02, "slant": 0.1, "gaps": (1.0, 6.0)}
LEARNT = [
    # preset, changes of the task, changes of the data, metric, bound
    ("shapes-classification", {}, {}, "accuracy", 0.95),
    ("shapes-classification", {"kind": "sigmoid"}, {"kinds": 2}, "accuracy", 0.95),
    ("shapes-classification", {"kind": "multilabel"}, {"annotation": "labels"}, "accuracy", 0.9),
    ("shapes-regression", {}, {}, "rmse", 1.0),
    ("shapes-regression", {"kind": "huber"}, {}, "rmse", 1.0),
    ("shapes-regression", {"kind": "l1"}, {}, "rmse", 1.0),
    ("shapes-regression", {"kind": "gaussian"}, {}, "rmse", 1.0),
    ("shapes-segmentation", {}, {"size": 16, "train": 768}, "mean_iou", 0.9),
    ("shapes-detection", {}, {"size": 16, "train": 768}, "map50", 0.8),
    ("strips-reader", {}, {"lengths": (1, 3), "width": 72, "train": 1024, **EASY_STRIPS}, "exact", 0.9),
    ("shapes-ranking", {}, {"size": 16, "train": 768}, "map", 0.7),
]


@pytest.mark.parametrize(("preset", "task", "data", "metric", "bound"), LEARNT)
def test_each_task_learns_its_drawn_shapes_in_seconds(preset, task, data, metric, bound, tmp_path, unexplained):
    experiment = cnnlab.presets.get(preset)
    experiment = dataclasses.replace(
        experiment,
        task=experiment.task.replace(**task),
        data=experiment.data.replace(**({"train": 512, "test": 128} | data)),
        optimizer=dataclasses.replace(
            experiment.optimizer, learning_rate=min(experiment.optimizer.learning_rate, 0.01)
        ),
        training=dataclasses.replace(experiment.training, epochs=8, batch_size=16),
    )
    started = time.process_time()  # summed over all cores, so that waiting for other programs does not count
    trained = cnnlab.train(experiment, tmp_path / "run", quiet=True)
    report = cnnlab.evaluate(tmp_path / "run", figures=tmp_path / "figures")
    assert time.process_time() - started < 2 * 60  # a minute of two cores
    assert report[metric] < bound if metric == "rmse" else report[metric] > bound
    assert all(path.stat().st_size > 1000 for path in (tmp_path / "figures").glob("*.png"))
    many = cnnlab.evaluate(trained, load_experiment_data(experiment), mc_samples=4, details=True)
    assert not unexplained(experiment.task.name.capitalize(), many)
    assert many[metric] < 1.5 * bound if metric == "rmse" else many[metric] > 0.9 * bound
    mc = cnnlab.mc_predict(trained, np.zeros((2, *trained.spec.shape), np.uint8), key=jax.random.key(0), num_samples=4)
    assert jax.tree.structure(mc.mean) == jax.tree.structure(mc.variance)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "multilabel"])
def test_linked_probabilities_sum_to_one_whatever_the_head(kind):
    task = tasks.Classification(kind=kind)
    logits = jnp.array([[3.0, -1.0]] if kind != "sigmoid" else [[3.0]])
    probs = task.link(logits)["probs"]
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
    if kind == "sigmoid":  # 1 / (1 + e^-3)
        np.testing.assert_allclose(probs[0, 1], 0.95257413, rtol=1e-6)


def test_class_weighted_loss_divides_by_the_weights_as_torch(goldens):
    g = goldens["ce"]
    task = tasks.Classification(class_weights=tuple(g["weights"]))
    value, weight = task.loss(jnp.array(g["z"]), {"label": jnp.array(g["labels"])})
    assert float((value * weight).sum() / weight.sum()) == pytest.approx(g["weighted_mean"], rel=1e-5)


def test_balanced_weights_give_every_class_the_same_share():
    data = from_arrays({"train": {"image": np.zeros((60, 4, 4), np.uint8), "label": np.repeat([0, 1], [45, 15])}})
    count = np.bincount(data["train"].column("label"))
    weights = tasks.Classification(class_weights="balanced").resolve(data).class_weights
    np.testing.assert_allclose(weights * count, len(data["train"]) / 2, rtol=1e-5)


def test_ignored_pixels_carry_no_loss_and_an_ignored_image_no_weight():
    task = tasks.Segmentation()
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 2, 3)), jnp.float32)
    mask = jnp.array([[[0, -1], [-1, 2]], [[-1, -1], [-1, -1]]])
    value, weight = task.loss(logits, {"mask": mask})
    log_probs = jax.nn.log_softmax(logits)
    assert float(value[0]) == pytest.approx(-float(log_probs[0, 0, 0, 0] + log_probs[0, 1, 1, 2]) / 2, rel=1e-6)
    assert weight.tolist() == [0.5, 0]


def test_segmentation_counts_a_pixel_in_its_cell_of_the_confusion():
    probs = jax.nn.one_hot(jnp.array([[[0, 1], [1, 1]]]), 2)
    rows = tasks.Segmentation().rows({"probs": probs}, {"mask": jnp.array([[[0, 0], [1, -1]]])})
    assert rows["confusion"].tolist() == [[[1, 1], [0, 1]]]


def test_a_box_goes_to_the_cell_of_its_centre_and_comes_back():
    task = tasks.Detection(image_size=(32, 64), boxes_per_cell=1, max_boxes=1)
    boxes = jnp.array([[[36.0, 8, 44, 20], [0, 0, 0, 0]]])  # centre (40, 14): cell (row 1, column 5) of 4 x 8
    placed = task._placed({"boxes": boxes, "classes": jnp.array([[2, -1]])}, (4, 8))
    assert np.argwhere(placed.present[0]).tolist() == [[1, 5, 0]]
    assert placed.boxes[0, 1, 5, 0].tolist() == [36, 8, 44, 20]
    assert placed.classes[0, 1, 5, 0] == 2
    # roots of width 8 / 64 and height 12 / 32 as logits; the centre at the cell's left edge and 3 / 4 down
    logit = lambda p: float(np.log(p / (1 - p)))  # noqa: E731
    cell = [-20.0, logit(0.75), logit((8 / 64) ** 0.5), logit((12 / 32) ** 0.5), 9.0, 0.0, 0.0, 5.0]
    logits = jnp.full((1, 4, 8, 8), -9.0).at[0, 1, 5].set(jnp.array(cell))
    prediction = cnnlab.jit(lambda logits: task.decode(task.link(logits)))(logits)
    np.testing.assert_allclose(prediction.boxes[0, 0], [36, 8, 44, 20], atol=1e-4)
    assert prediction.classes.tolist() == [[2]]


def test_of_two_objects_in_one_cell_the_first_stays_whole_and_the_other_is_counted():
    task = tasks.Detection(image_size=(32, 32))
    boxes = jnp.array([[[1.0, 1, 5, 5], [2, 2, 7, 7], [20, 20, 30, 30]]])
    placed = task._placed({"boxes": boxes, "classes": jnp.array([[0, 1, 2]])}, (2, 2))
    assert placed.present[0, ..., 0].tolist() == [[1, 0], [0, 1]]
    assert placed.boxes[0, 0, 0, 0].tolist() == [1, 1, 5, 5]
    assert placed.classes[0, ..., 0].tolist() == [[0, -1], [-1, 2]]
    assert placed.lost.tolist() == [1]


@pytest.mark.parametrize(("kind", "message"), [("cells", "holds one object"), ("anchors", None)])
def test_training_objects_without_a_slot_are_reported_before_the_first_step(kind, message):
    boxes = np.array([[[1.0, 1, 5, 5], [2, 2, 7, 7], [20, 20, 30, 30]]], np.float32)
    columns = {"image": np.zeros((1, 32, 32, 1), np.uint8), "boxes": boxes, "classes": np.array([[0, 1, 2]])}
    data = cnnlab.data.from_arrays(dict.fromkeys(("train", "validation"), columns))
    task = tasks.Detection(kind=kind, image_size=(32, 32), num_anchors=2)
    remarks = task.remarks(data, (1, 2, 2, 13))
    assert len(remarks) == (message is not None)
    assert not remarks or (remarks[0].startswith("1 of 3 training objects are not learnt") and message in remarks[0])


def test_regression_values_are_in_the_targets_units():
    task = tasks.Regression(mean=(10.0,), std=(2.0,))
    assert task.link(jnp.array([[1.5]]))["value"].tolist() == [[13]]
    assert task.loss(jnp.array([[1.5]]), {"target": jnp.array([[14.0]])})[0].tolist() == [0.25]


def test_one_pass_alone_has_no_spread_to_score():
    network, x = cnnlab.create_model("lenet5", num_classes=1, dropout=0.5), np.ones((8, 16, 16, 1), np.float32)
    target = np.arange(8, dtype=np.float32)[:, None]
    splits = {split: {"image": x, "target": target} for split in ("train", "validation", "test")}
    data = cnnlab.data.from_arrays(splits, classes=("age",))
    trained = cnnlab.Trained(network.init(jax.random.key(0), x), network, cnnlab.tasks.Regression(), data.spec)
    assert "coverage" not in cnnlab.evaluate(trained, data, mc_samples=1)
    assert "coverage" in cnnlab.evaluate(trained, data, mc_samples=2)


@pytest.mark.parametrize(
    ("spread", "half"),
    [
        ({"variance": np.array([4.0])}, 3.92),
        ({"noise": np.array([4.0])}, 3.92),
        ({"noise": np.array([1.0]), "variance": {"value": np.array([3.0]), "noise": np.array([9.0])}}, 3.92),
    ],
)
def test_a_predicted_number_is_written_with_its_95_percent_interval(spread, half):
    prediction = cnnlab.Prediction(value=np.array([7.0]), **spread)
    (record,) = tasks.Regression().record(prediction, InputSpec((8, 8), classes=("age",)), Photo(Path("a.png")))
    assert record["low"]["age"] == pytest.approx(7 - half, abs=1e-3)
    assert record["high"]["age"] == pytest.approx(7 + half, abs=1e-3)


def test_a_number_of_one_pass_has_no_interval():
    prediction = cnnlab.Prediction(value=np.array([7.0]))
    (record,) = tasks.Regression().record(prediction, InputSpec((8, 8), classes=("age",)), Photo(Path("a.png")))
    assert record == {"file": "a.png", "value": {"age": 7.0}}


def test_a_gaussian_regression_adds_its_noise_to_the_variance_over_passes():
    task = tasks.Regression(kind="gaussian", mean=(10.0,), std=(2.0,))
    assert task.head(cnnlab.InputSpec((4, 4), classes=("age",))) == 2
    outputs = task.link(jnp.array([[1.5, np.log(0.25)]]))
    assert [outputs["value"].item(), outputs["noise"].item()] == pytest.approx([13, 0.25 * 4])
    over_passes = outputs | {"variance": {"value": jnp.array([[3.0]]), "noise": jnp.array([[9.0]])}}
    rows = task.rows(over_passes, {"target": jnp.array([[12.0]])})
    assert rows["variance"].item() == pytest.approx(4)
    parts = task.summary({name: np.asarray(column) for name, column in rows.items()})
    assert [parts["aleatoric"], parts["epistemic"]] == pytest.approx([1, np.sqrt(3)])


@pytest.mark.parametrize(
    ("task", "annotation", "message"),
    [
        (tasks.Classification(), "mask", "reads the column 'label', but shapes-mask holds image, mask"),
        (tasks.Segmentation(), "label", "reads the column 'mask'"),
        (tasks.Detection(), "label", "reads the column 'boxes'"),
        (tasks.Regression(), "label", "reads the column 'target'"),
        (tasks.Classification(kind="sigmoid"), "label", "separates two classes, shapes-label has 3"),
        (tasks.Classification(class_weights=(1.0, 2.0)), "label", "must hold 3 numbers for 3 classes, found 2"),
    ],
)
def test_a_task_that_does_not_fit_its_data_says_what_it_reads(task, annotation, message):
    with pytest.raises(ValueError, match=message):
        build_task(None, shapes(annotation, train=8, validation=4, test=4), task)


def test_a_reversed_box_is_named():
    data = shapes("boxes", train=8, validation=4, test=4)
    data["train"].column("boxes")[0, 0] = [9, 9, 3, 3]
    with pytest.raises(ValueError, match=r"x1 <= x2, y1 <= y2, found \[9"):
        tasks.Detection().resolve(data)


def test_predictions_read_as_attributes_and_name_what_they_hold():
    prediction = cnnlab.Prediction(label=jnp.arange(2))
    assert jax.jit(lambda p: p)(prediction).label.tolist() == [0, 1]
    with pytest.raises(AttributeError, match="holds label; not 'mask'"):
        prediction.mask  # noqa: B018


def test_a_registered_task_trains_by_name(tmp_path, monkeypatch, small):
    @dataclasses.dataclass(frozen=True)
    class Sure(tasks.Classification):
        gain: float = 2.0

        def link(self, logits):
            return super().link(self.gain * logits)

        def figures(self, rows):
            return {}

    monkeypatch.setitem(tasks.TASKS, "sure", Sure)
    experiment = dataclasses.replace(small, task=cnnlab.Choice("sure", gain=3.0))
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert cnnlab.load(tmp_path / "run").task == Sure(gain=3.0)
