"""Evaluation of detection: in the photos' pixels, with objects that do not count, tables, curves and doubt."""

import json

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab import tasks
from cnnlab.cli import main
from cnnlab.data import from_arrays
from cnnlab.files.strict_json import encode
from cnnlab.geometry.letterbox import from_frames, to_canvas
from cnnlab.metrics.detection.errors import CAUSES
from cnnlab.metrics.detection.voc import Curve
from cnnlab.plots.precision_recall import precision_recall
from cnnlab.training.experiment import Choice, check_choice

TASK = tasks.Detection(image_size=(32, 32))


def rows(**others):
    """Returns rows of one image of 32 x 32 pixels with two objects: one is detected twice, the other is missed."""
    boxes = np.array([[[0.0, 8, 8, 16], [0, 8, 8, 15], [0, 0, 0, 0]]])
    return {
        "boxes": boxes,
        "score": np.array([[0.9, 0.8, 0]]),
        "classes": np.array([[0, 0, -1]]),
        "place": np.array([[3, 5, 0]]),
        "true_boxes": np.array([[[0.0, 8, 8, 16], [16, 8, 24, 16]]]),
        "true_classes": np.array([[0, 1]]),
        "lost": np.zeros(1),
    } | others


PHOTO = {"frame": np.array([[0, 8, 32, 24]]), "photo_size": np.array([[200, 400]])}  # letterboxed, 12.5 times as large


def test_areas_are_those_of_the_photo():
    inside, whole = TASK.summary(rows()), TASK.summary(rows(**PHOTO))
    assert (inside["map_small"], inside["map_large"]) == (0.5, -1)
    assert (whole["map_small"], whole["map_large"]) == (-1, 0.5)  # 8 pixels become 100, more than 96


def test_cocos_own_area_comes_before_that_of_the_box():
    scores = TASK.summary(rows(**PHOTO, area=np.array([[900.0, 9000]])))
    assert (scores["map_small"], scores["map_medium"], scores["map_large"]) == (1, 0, -1)


def test_boxes_reaching_into_the_bars_are_cut_to_the_photo():
    canvas = np.array([[[-5.0, 0, 40, 16]]])
    assert from_frames(canvas, PHOTO["frame"], PHOTO["photo_size"]).tolist() == [[[0, 0, 400, 100]]]


@pytest.mark.parametrize("photo", [(333, 77), (480, 640)])
def test_a_frame_carries_boxes_back_like_the_letterbox(photo):
    boxes = np.array([[[1.0, 2, 30, 70], [0, 0, 77, 200]]])
    frame = to_canvas(np.array([0, 0, photo[1], photo[0]]), photo, (100, 120))[None]
    back = from_frames(to_canvas(boxes, photo, (100, 120)), frame, np.array([photo]))
    np.testing.assert_allclose(back, boxes, rtol=0, atol=1e-9)


@pytest.mark.parametrize("flag", ["difficult", "crowd"])
def test_what_does_not_count_reaches_the_metrics(flag):
    scores = TASK.summary(rows(**{flag: np.array([[False, True]])}))
    assert scores["map"] == 1  # the class of the missed object has no object that counts
    table = TASK.details(rows(class_names=("a", "b"), **{flag: np.array([[False, True]])}))
    assert [one["objects"] for one in table["classes"]] == [1, 0]
    assert table["errors"]["missed"] == 0


def test_the_table_has_a_record_of_every_class_and_the_causes_of_error():
    tables = TASK.details(rows(class_names=("a", "b", "c")))
    assert tables["classes"] == [
        {"class": "a", "objects": 1, "ap": 1.0, "ap50": 1.0, "ar_100": 1.0},
        {"class": "b", "objects": 1, "ap": 0.0, "ap50": 0.0, "ar_100": 0.0},
        {"class": "c", "objects": 0, "ap": -1.0, "ap50": -1.0, "ar_100": -1.0},
    ]
    assert {name: n for name, n in tables["errors"].items() if n} == {"correct": 1, "duplicate": 1, "missed": 1}


@pytest.mark.parametrize(("kind", "boxes"), [("cells", 2), ("anchors", 1)])
def test_doubt_is_read_where_the_boxes_lie(kind, boxes):
    entropy = np.zeros((1, 4, 4 // boxes))
    entropy[0].flat[[3 // boxes, 5 // boxes]] = [0.1, 0.4]  # of the right box and of its duplicate
    task = tasks.Detection(kind=kind, anchors=((4.0, 4.0),), image_size=(32, 32))
    scores = task.summary(rows(entropy=entropy, mutual_information=-entropy))
    assert scores["false_positive_auroc_entropy"] == 1
    assert scores["false_positive_auroc_mutual_information"] == 0
    assert scores["false_positive_auroc_score"] == 1
    assert not any("auroc" in name for name in task.summary(rows()))


@pytest.mark.parametrize("kind", ["cells", "anchors"])
def test_an_object_that_is_not_to_be_learnt_costs_nothing_and_is_not_crowded_out(kind):
    task = tasks.Detection(kind=kind, anchors=((8.0, 8.0),), image_size=(32, 32))
    logits = jax.random.normal(jax.random.key(0), (1, 2, 2, task.head(cnnlab.InputSpec((32, 32), classes="ab"))))
    boxes, classes = rows()["true_boxes"], rows()["true_classes"]
    one = {"boxes": boxes, "classes": np.array([[0, -1]])}
    two = {"boxes": boxes, "classes": classes, "learnt": np.array([[True, False]])}
    assert task.loss(logits, one)[0] == task.loss(logits, two)[0] != task.loss(logits, two | {"learnt": classes < 2})[0]
    crowded = {"boxes": boxes[:, [0, 0]], "classes": classes, "learnt": np.array([[True, False]])}
    assert task.rows(task.link(logits), crowded)["lost"].tolist() == [0]


def test_anchors_are_those_of_what_is_learnt():
    boxes = np.array([[[0.0, 0, 8, 8], [0, 0, 32, 32]]])
    columns = {"image": np.zeros((1, 32, 32, 1), np.uint8), "boxes": boxes, "classes": np.zeros((1, 2), int)}
    columns |= {"learnt": np.array([[True, False]])}
    data = from_arrays({"train": columns, "validation": columns}, classes="a")
    assert tasks.Detection(kind="anchors", num_anchors=1).resolve(data).anchors == ((8, 8),)


def test_flags_stay_with_their_boxes_when_images_move():
    boxes = rows()["true_boxes"].astype(np.float32)
    batch = {"image": np.zeros((1, 32, 32, 1), np.uint8), "boxes": boxes, "classes": np.array([[0, 1]])}
    flags = {"difficult": np.array([[True, False]]), "area": np.array([[7.0, 8]]), **PHOTO}
    moved = cnnlab.data.augment(batch | flags, jax.random.key(0), cnnlab.data.Augmentation(horizontal_flip=1.0))
    assert moved["boxes"][0].tolist() == [[24, 8, 32, 16], [8, 8, 16, 16]]
    assert moved["difficult"].tolist() == [[True, False]]


def test_a_class_without_detections_has_no_line():
    none, some = Curve(*np.zeros((3, 0)), 4), Curve(np.ones(1), np.ones(1), np.ones(1) / 4, 4)
    (axis,) = precision_recall({"cat": none, "dog": some}).axes
    assert [(line.get_label(), *line.get_data()) for line in axis.lines] == [("dog", [0.25], [1.0])]


def test_a_task_stored_before_it_had_these_options_gets_their_defaults():
    stored = {n: x for n, x in encode(TASK).items() if n not in ("box_loss", "suppression", "sigma")}
    options = check_choice(Choice("detection", **stored), tasks.TASKS, "task").options
    assert tasks.create_task("detection", **options) == TASK
    assert (TASK.box_loss, TASK.suppression, TASK.sigma) == ("squared", "hard", 0.5)


def test_the_box_loss_and_the_suppression_are_chosen_on_the_command_line(tmp_path, capsys):
    small = ["--model.features=4", "--training.epochs=1", "--training.batch-size=8"]
    small += [f"--data.{option}" for option in ("size=32", "train=8", "validation=4", "test=4")]
    command = ["train", "shapes-detection", *small, f"--run-dir={tmp_path / 'run'}"]
    assert main([*command, "--task.box-loss", "giou", "--task.suppression", "gaussian"]) == 0
    task = cnnlab.load(tmp_path / "run").task
    assert (task.box_loss, task.suppression) == ("giou", "gaussian")
    capsys.readouterr()
    assert main([*command, "--task.box-loss", "nonsense"]) == 2
    assert "('squared', 'iou', 'giou', 'diou', 'ciou')" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_evaluate_writes_one_object_with_tables_and_draws_the_curves(tmp_path, capsys):
    training = cnnlab.Training(epochs=1, batch_size=16)
    data = cnnlab.Choice("shapes", annotation="boxes", train=16, validation=8, test=8)
    model, task = cnnlab.Choice("grid_detector", features=(4, 8)), cnnlab.Choice("detection", max_boxes=5)
    cnnlab.train(cnnlab.Experiment(model=model, data=data, task=task, training=training), tmp_path / "run", quiet=True)
    command = ["evaluate", str(tmp_path / "run"), "--figures", str(tmp_path / "figures")]
    capsys.readouterr()
    main([*command, "--json", "--mc", "2"])
    report = json.loads(capsys.readouterr().out)
    assert [one["class"] for one in report["classes"]] == ["disc", "square", "triangle"]
    assert sum(one["objects"] for one in report["classes"]) >= 8  # one or two an image
    assert tuple(report["errors"]) == CAUSES
    assert "false_positive_auroc_entropy" in report
    assert (tmp_path / "figures" / "precision_recall.png").is_file()
    main(command)
    assert "ar 100" in capsys.readouterr().out
    assert "| class | objects | ap | ap50 | ar 100 |" in (tmp_path / "figures" / "report.md").read_text()
    summary = cnnlab.evaluate(tmp_path / "run")
    assert all(isinstance(value, float | int) for value in summary.values())
