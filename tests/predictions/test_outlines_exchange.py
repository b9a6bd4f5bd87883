"""Predicted masks and classes as annotations of tools: each is read back as it was written."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnnlab.data import InputSpec
from cnnlab.data.annotations import read_annotations
from cnnlab.data.annotations.drawing import draw_mask
from cnnlab.data.annotations.voc_masks import read_labels
from cnnlab.data.masks import read_codes
from cnnlab.files.photo import Photo
from cnnlab.predictions.exchange import Predicted, write_annotations
from cnnlab.tasks import Prediction, create_task

SMALLEST = 10  # pixels
CLASSES = ("background", "cat", "dog")
SPEC = InputSpec((40, 52), 3, classes=CLASSES)
SIZE = (80, 104)


@pytest.fixture
def annotated(tmp_path):
    """A photo, the mask of its regions of `SMALLEST` pixels or more, and its predicted annotations."""
    noise = np.random.default_rng(3).normal(size=(3, 40, 52))
    logits = np.moveaxis(ndimage.gaussian_filter(noise, (0, 1.5, 1.5)), 0, -1) * 20
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    (tmp_path / "images").mkdir()
    photo = Photo(tmp_path / "images/a.png")
    Image.new("RGB", SIZE[::-1]).save(photo.path)
    prediction = Prediction(probs=probs, mask=probs.argmax(-1), entropy=-(probs * np.log(probs)).sum(-1))
    records = create_task("segmentation").annotations(prediction, SPEC, photo, smallest=SMALLEST)
    mask = np.kron(probs.argmax(-1), np.ones((2, 2), int))
    for k in range(3):
        labels, _ = ndimage.label(mask == k)
        mask[(np.bincount(labels.ravel()) < SMALLEST)[labels] & (mask == k)] = 0
    return Predicted(photo, records), mask


def has_hole(mask):
    return any((ndimage.binary_fill_holes(mask == k) & (mask != k)).any() for k in (1, 2))


@pytest.mark.parametrize("name", ["coco", "yolo", "labelme", "labelstudio"])
def test_masks_come_back_from_the_files_of_every_tool_with_their_holes(name, annotated, tmp_path):
    predicted, mask = annotated
    assert has_hole(mask)
    written = write_annotations(name, [predicted], CLASSES, tmp_path, kind="outlines")
    if name == "labelstudio":  # a person accepts the predictions
        (task,) = json.loads(written.read_text())
        written.write_text(json.dumps([{"data": task["data"], "annotations": task["predictions"]}]))
    (photo,) = read_annotations(tmp_path, format=name).objects
    np.testing.assert_array_equal(draw_mask(photo, CLASSES), mask)


def test_coco_masks_are_those_of_pycocotools(annotated, tmp_path):
    masks = pytest.importorskip("pycocotools.mask", exc_type=ImportError)
    predicted, mask = annotated
    table = json.loads(write_annotations("coco", [predicted], CLASSES, tmp_path, kind="outlines").read_text())
    drawn = np.zeros(SIZE, int)
    for entry in table["annotations"]:
        inside = masks.decode(masks.merge(masks.frPyObjects(entry["segmentation"], *SIZE))).astype(bool)
        assert inside.sum() == entry["area"]
        assert not drawn[inside].any()
        drawn[inside] = entry["category_id"] - 1
    np.testing.assert_array_equal(drawn, mask)


def test_voc_gets_a_mask_in_its_own_colours(annotated, tmp_path):
    predicted, mask = annotated
    write_annotations("voc", [predicted], CLASSES, tmp_path, kind="outlines")
    with Image.open(tmp_path / "SegmentationClass/a.png") as image:
        assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    table = read_labels(tmp_path)
    codes = read_codes(tmp_path / "SegmentationClass/a.png", table)
    assert table.names == CLASSES
    np.testing.assert_array_equal(np.vectorize(table.codes.get)(codes), mask)


def test_a_region_has_the_mean_probability_of_its_class(tmp_path):
    Image.new("RGB", (4, 1)).save(tmp_path / "a.png")
    probs = np.array([[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]]])
    prediction = Prediction(probs=probs, mask=probs.argmax(-1))
    spec = InputSpec((1, 4), 3, classes=("background", "cat"))
    (record,) = create_task("segmentation").annotations(prediction, spec, Photo(tmp_path / "a.png"))
    assert (record["category"], record["pixels"], round(record["score"], 6)) == ("cat", 2, 0.7)
    assert record["outline"].tolist() == [[1, 0], [3, 0], [3, 1], [1, 1]]


@pytest.fixture
def labelled(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    probs = np.array([0.1, 0.65, 0.25])
    photo = Photo(tmp_path / "a.png")
    prediction = Prediction(probs=probs, label=probs.argmax())
    return Predicted(photo, create_task("classification").annotations(prediction, SPEC, photo))


def test_the_class_of_a_photo_is_a_choice_or_a_flag(labelled, tmp_path):
    (task,) = json.loads(write_annotations("labelstudio", [labelled], CLASSES, tmp_path, kind="labels").read_text())
    (result,) = task["predictions"][0]["result"]
    assert (result["type"], result["value"], result["score"]) == ("choices", {"choices": ["cat"]}, 0.65)
    write_annotations("labelme", [labelled], CLASSES, tmp_path, kind="labels")
    assert json.loads((tmp_path / "a.json").read_text())["flags"] == {"cat": True}


def test_formats_of_boxes_refuse_the_classes_of_photos(labelled, tmp_path):
    with pytest.raises(ValueError, match="holds no classes of whole photos; choose labelme or labelstudio"):
        write_annotations("coco", [labelled], CLASSES, tmp_path, kind="labels")
