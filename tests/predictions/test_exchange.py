"""Predicted boxes as annotations of tools: each is read back as it was written."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.annotations import read_annotations
from cnnlab.files.cache import begin
from cnnlab.files.copying import fetch
from cnnlab.files.photo import Photo
from cnnlab.predictions.exchange import EXCHANGES, Predicted, write_annotations

BOXES = {"a": [("cat", [2.5, 3.25, 20, 10], 0.9)], "b": [("dog", [0, 0, 40, 20], 0.5), ("cat", [1, 1, 2, 2], 0.1)]}


@pytest.fixture
def predicted(tmp_path):
    """Two photos; one box is below the score from which boxes are written."""
    (tmp_path / "photos").mkdir()
    for name in BOXES:
        Image.new("RGB", (40, 20)).save(tmp_path / f"photos/{name}.png")
    records = {
        name: [{"category": label, "bbox": box, "score": score, "entropy": 0.25} for label, box, score in boxes]
        for name, boxes in BOXES.items()
    }
    return [Predicted(Photo(tmp_path / f"photos/{name}.png"), own) for name, own in records.items()]


@pytest.mark.parametrize("name", [name for name in EXCHANGES if name != "labelstudio"])
def test_sure_boxes_come_back_from_the_files_of_every_tool(name, predicted, tmp_path):
    written = write_annotations(name, predicted, ("cat", "dog"), tmp_path)
    assert written.exists()
    if name == "yolo":
        shutil.move(tmp_path / "photos", tmp_path / "images")
    photos = read_annotations(tmp_path, format=name).objects
    assert {photo.photo.stem: photo.names for photo in photos} == {"a": ("cat",), "b": ("dog",)}
    boxes = {photo.photo.stem: photo.boxes for photo in photos}
    np.testing.assert_allclose(boxes["a"], [[2.5, 3.25, 22.5, 13.25]], atol=1e-4)
    np.testing.assert_allclose(boxes["b"], [[0, 0, 40, 20]], atol=1e-4)


def test_masks_of_a_class_that_labelmap_cannot_hold_are_refused(predicted, tmp_path):
    for classes, message in (("cat: tame", "dog"), "'cat: tame'"), ([str(i) for i in range(257)], "found 257"):
        with pytest.raises(ValueError, match=message):
            write_annotations("voc", predicted, classes, tmp_path, kind="outlines")
    assert not (tmp_path / "SegmentationClass").exists()


def test_label_studio_gets_percent_scores_and_doubts(predicted, tmp_path):
    tasks = json.loads(write_annotations("labelstudio", predicted, ("cat", "dog"), tmp_path).read_text())
    entry = tasks[0]["predictions"][0]["result"][0]
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=a.png"
    assert [entry["value"][key] for key in ("x", "y", "width", "height")] == [6.25, 16.25, 50, 50]
    assert (entry["score"], entry["meta"]["entropy"]) == (0.9, 0.25)
    # A person accepts the prediction, and the export is read.
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    assert [photo.names for photo in read_annotations(tmp_path).objects] == [("cat",), ("dog",)]


def test_doubts_are_attributes_where_the_format_has_them(predicted, tmp_path):
    table = json.loads(write_annotations("coco", predicted, ("cat", "dog"), tmp_path).read_text())
    assert table["annotations"][0]["attributes"] == {"score": 0.9, "entropy": 0.25}
    write_annotations("voc", predicted, ("cat", "dog"), tmp_path)
    text = (tmp_path / "Annotations/a.xml").read_text()
    assert "<name>entropy</name>" in text
    assert "<value>0.25</value>" in text


def test_photos_of_one_name_are_refused(predicted, tmp_path):
    twin = predicted[0]._replace(photo=Photo(tmp_path / "other/a.png"))
    with pytest.raises(ValueError, match="have one name, which annotations need"):
        write_annotations("voc", [*predicted, twin], ("cat", "dog"), tmp_path)


@pytest.mark.parametrize(
    ("output", "name"),
    [("memory://bucket/out", "../photos/a.png"), ("memory://other/out", "memory://bucket/photos/a.png")],
)
def test_labelme_names_a_photo_elsewhere_by_its_address_or_from_there(predicted, memory_store, output, name):
    memory_store.pipe("/bucket/photos/a.png", predicted[0].photo.path.read_bytes())
    photo = Photo(fetch("memory://bucket/photos") / "a.png")
    folder, _ = begin(output)
    write_annotations("labelme", [Predicted(photo, predicted[0].records)], ("cat", "dog"), folder)
    assert json.loads((folder / "a.json").read_text())["imagePath"] == name
