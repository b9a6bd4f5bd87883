"""Detections of photos: records in the photo's pixels with their spread, and drawings."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import tasks
from cnnlab.cli import main
from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.plots.overlay import draw_boxes
from cnnlab.tasks.detection_records import coco_records
from cnnlab.uncertainty.detections import grouped_prediction


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains a detector of shapes for one epoch."""
    training = cnnlab.Training(epochs=1, batch_size=16)
    data = cnnlab.Choice("shapes", annotation="boxes", train=32, validation=8, test=8)
    model = cnnlab.Choice("grid_detector", features=(4, 8))
    task = cnnlab.Choice("detection", max_boxes=5, score_threshold=0.0)
    experiment = cnnlab.Experiment(model=model, data=data, task=task, training=training)
    path = tmp_path_factory.mktemp("runs") / "shapes"
    cnnlab.train(experiment, path, quiet=True)
    return path


def test_boxes_are_written_in_the_photos_own_pixels():
    spec = InputSpec((16, 16), 3, classes=("ant", "bee"), fit="letterbox")
    prediction = cnnlab.Prediction(
        boxes=np.array([[4.0, 6, 8, 10], [0, 0, 0, 0]]), score=np.array([0.75, 0]), classes=np.array([1, -1])
    )
    # 200 x 100 pixels in 16 x 16: a factor of .08, below four rows of grey
    (record,) = coco_records(prediction, spec, Photo(_photo((200, 100)), 3))
    assert record.pop("bbox") == pytest.approx([50, 25, 50, 50])
    assert record == {"image_id": 3, "file_name": "photo.png", "category_id": 2, "category": "bee", "score": 0.75}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _photo(size):
    from pathlib import Path

    Image.new("RGB", size, (9, 90, 9)).save("photo.png")
    return Path("photo.png")


def test_the_spread_over_passes_is_read_where_the_box_lay_and_scaled_to_the_photo():
    task = tasks.Detection(image_size=(16, 16))
    variance = np.zeros((2, 2, 2, 4))
    variance[1, 0, 1] = [1, 4, 9, 16]
    entropy = np.array([[0.1, 0.2], [0.3, 0.4]])
    prediction = cnnlab.Prediction(
        boxes=np.array([[4.0, 6, 8, 10]]),
        score=np.ones(1),
        classes=np.zeros(1, int),
        probs=np.array([[0.75, 0.25]]),
        place=np.array([2 * 2 + 1]),  # row 1, column 0, second box
        variance={"boxes": variance},
        entropy=entropy,
        mutual_information=entropy / 10,
    )
    spec = InputSpec((16, 16), 3, classes=("ant", "bee"), fit="letterbox")
    (record,) = coco_records(prediction, spec, Photo(_photo((200, 100)), 1))
    assert record["bbox_std"] == pytest.approx([12.5, 25, 37.5, 50])
    assert (record["entropy"], record["mutual_information"]) == pytest.approx((0.3, 0.03))
    assert record["probs"] == {"ant": 0.75, "bee": 0.25}
    assert task.boxes_per_cell == 2


@pytest.mark.parametrize("passes", [(), ("--mc", "3")])
def test_predict_writes_coco_results_and_a_drawing_of_each_photo(run, passes, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        Image.effect_noise((90, 60), 80).save(photos / f"{i}.png")
    main(["predict", str(run), str(photos), "--output", str(tmp_path / "out"), *passes])
    records = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {record["image_id"] for record in records} == {1, 2}
    for record in records:
        x, y, w, h = record["bbox"]
        assert 0 <= x <= x + w <= 90 + 1e-6
        assert 0 <= y <= y + h <= 60 + 1e-6
        assert ("bbox_std" in record) == bool(passes)
        assert not passes or record["mutual_information"] >= 0
    assert Image.open(tmp_path / "out" / "0_boxes.png").size == (90, 60)


@pytest.fixture
def photos(tmp_path):
    for i in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.effect_noise((90, 60), 80).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def predicted(run, photos, *options):
    assert main(["predict", str(run), str(photos), "--output", str(photos / "output"), *options]) == 0
    return json.loads((photos / "output" / "predictions.json").read_text())


def test_boxes_get_the_numbers_of_an_annotation_file(run, photos, tmp_path):
    names = cnnlab.load(run).spec.classes
    table = {"images": [{"id": 41 + i, "file_name": f"photos/{i}.png"} for i in range(2)], "annotations": []}
    table["categories"] = [{"id": 90 - k, "name": name} for k, name in enumerate(names)]
    (tmp_path / "instances.json").write_text(json.dumps(table))
    records = predicted(run, photos, "--ids", str(tmp_path / "instances.json"))
    assert {(record["file_name"], record["image_id"]) for record in records} == {("0.png", 41), ("1.png", 42)}
    assert all(record["category_id"] == 90 - names.index(record["category"]) for record in records)


def test_a_photo_that_the_annotation_file_lacks_is_named(run, photos, tmp_path, capsys):
    table = {"images": [{"id": 4, "file_name": "7.png"}], "annotations": [], "categories": []}
    table["categories"] = [{"id": k, "name": name} for k, name in enumerate(cnnlab.load(run).spec.classes)]
    (tmp_path / "instances.json").write_text(json.dumps(table))
    options = ["--output", str(tmp_path / "out"), "--ids", str(tmp_path / "instances.json")]
    assert main(["predict", str(run), str(photos), *options]) == 1
    assert "0.png is not in --ids" in capsys.readouterr().err


def test_drawings_of_an_earlier_call_are_not_predicted(run, photos):
    first = predicted(run, photos)
    assert predicted(run, photos) == first


def test_unreadable_photos_are_left_out_and_named(run, photos, capsys):
    whole = predicted(run, photos)
    (photos / "00.png").write_bytes(b"none")
    assert main(["predict", str(run), str(photos), "--output", str(photos / "output")]) == 1
    assert "repair or remove it, or leave such files out with --skip-unreadable" in capsys.readouterr().err
    records = predicted(run, photos, "--skip-unreadable")
    assert [record["file_name"] for record in records] == [record["file_name"] for record in whole]
    assert "00.png" in capsys.readouterr().err


def test_a_detector_has_no_calibration_to_apply(run, photos, capsys):
    assert main(["predict", str(run), str(photos), "--calibrated"]) == 1
    assert "--calibrated is for classification" in capsys.readouterr().err


def test_the_ellipses_are_drawn_two_deviations_wide():
    box = {"bbox": [40, 40, 80, 70], "score": 0.9, "category": "cat", "category_id": 1, "bbox_std": [6, 4, 3, 9]}
    black = np.zeros((150, 160, 3), np.uint8)
    drawn = draw_boxes(black, [box]).any(-1)
    ellipses = drawn.copy()
    ellipses[40:111, 40:121] = False  # only the parts of the ellipses outside the box remain
    rows, columns = np.nonzero(ellipses)
    assert (columns.min(), rows.min()) == (40 - 12, 40 - 8)
    assert (columns.max(), rows.max()) == (120 + 6, 110 + 18)
    assert not black.any()


def test_unsure_boxes_are_not_drawn():
    box = {"bbox": [4, 4, 8, 8], "score": 0.29, "category": "cat", "category_id": 1}
    assert not draw_boxes(np.zeros((16, 16, 3), np.uint8), [box]).any()


def test_an_anchored_detector_predicts_with_its_spread():
    network = cnnlab.create_model("grid_detector", num_classes=14, features=(4, 4))
    task = tasks.Detection(kind="anchors", image_size=(16, 16), anchors=((4.0, 4.0), (8.0, 4.0)), score_threshold=0.0)
    images = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    variables = cnnlab.nn.init(network, images, jax.random.key(0))
    spec = InputSpec((16, 16), 3, classes=("ant", "bee"))
    trained = cnnlab.Trained(variables, network, task, spec)
    prediction = jax.tree.map(lambda x: x[0], cnnlab.mc_predict(trained, images, key=jax.random.key(1), num_samples=4))
    records = coco_records(prediction, spec, Photo(_photo((32, 16)), 1))
    assert len(records) > 0
    assert all(min(record["bbox_std"]) >= 0 and max(record["bbox_std"]) > 0 for record in records)


def test_detections_of_four_passes_are_grouped_into_objects_in_the_photos_pixels():
    spec = InputSpec((16, 16), 3, classes=("ant", "bee"), fit="letterbox")
    boxes = np.array([[[4.0, 6, 8, 10]], [[4.0, 6, 8, 10]], [[4.0, 6, 8, 8]], [[0.0, 0, 0, 0]]])
    passes = cnnlab.Prediction(
        boxes=boxes,
        score=np.array([[0.9], [0.8], [0.7], [0.0]]),
        classes=np.array([[1], [1], [1], [-1]]),
        probs=np.broadcast_to([0.0, 1.0], (4, 1, 2)),
    )
    records = coco_records(grouped_prediction(passes), spec, Photo(_photo((200, 100)), 1))
    assert len(records) == 2  # the IoU of the third pass is a half, not above it
    assert records[0]["frequency"] == 0.5
    assert records[0]["bbox"] == pytest.approx([50, 25, 50, 50])
    assert records[0]["bbox_std"] == pytest.approx([0, 0, 0, 0])
    assert (records[1]["frequency"], records[1]["category"], records[1]["score"]) == (0.25, "bee", 0.7)


def test_predict_groups_passes_where_that_is_asked_for(run, photos, capsys):
    records = predicted(run, photos, "--mc", "4", "--group")
    assert records
    assert {record["frequency"] for record in records} <= {0.25, 0.5, 0.75, 1.0}
    assert all(len(record["bbox_std"]) == 4 for record in records)
    assert main(["predict", str(run), str(photos), "--group"]) == 2
    assert "add --mc and their number" in capsys.readouterr().err
