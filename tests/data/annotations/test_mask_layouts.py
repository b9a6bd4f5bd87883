"""Masks under the names that people and tools give them, and the masks that are drawn from outlines."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnlab import data
from cnnlab.commands.options import parse_experiment
from cnnlab.data.annotations import list_masks, mask_table
from cnnlab.data.annotations.drawing import DrawnMasks, draw_mask, mask_classes
from cnnlab.data.annotations.record import Objects, polygons

SIZE = (12, 8)


def save(path, value=None):
    """Saves a photo, or a mask whose lower half has this value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, (200, 10, 10))
    if value is not None:
        pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        pixels[4:] = value
        image = Image.fromarray(pixels)
    image.save(path)


LAYOUTS = {
    "images and gt": ("images/{i}.jpg", "gt/{i}.png"),
    "images and labels": ("images/{i}.jpg", "labels/{i}.png"),
    "images and annotations": ("images/{i}.jpg", "annotations/{i}.png"),
    "masks with an ending": ("images/{i}.jpg", "masks/{i}_mask.png"),
    "beside the photo": ("{i}.jpg", "{i}_mask.png"),
    "SegmentationClass": ("JPEGImages/{i}.jpg", "SegmentationClass/{i}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_recognised_by_the_usual_names(layout, tmp_path):
    image, mask = LAYOUTS[layout]
    for i in range(6):
        save(tmp_path / image.format(i=i))
        save(tmp_path / mask.format(i=i), 1)
    assert data.kind_of(tmp_path).source == "pairs"
    assert [(a.stem[:1], b.stem[:1]) for a, b in list_masks(tmp_path)["train"]] == [(str(i),) * 2 for i in range(6)]
    assert data.load(tmp_path)["train"][np.arange(1)]["mask"][0, :, 0].tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("ending", ["annot", "_masks"])
def test_masks_in_the_folder_beside_that_of_a_split_are_its(ending, tmp_path):
    for split in ("train", "val", "test"):
        save(tmp_path / split / "a.png")
        save(tmp_path / f"{split}{ending}" / "a.png", 1)
    pairs = list_masks(tmp_path)
    assert {split: len(own) for split, own in pairs.items()} == dict.fromkeys(("train", "validation", "test"), 1)
    assert pairs["train"][0][1].parent.name == f"train{ending}"


def test_the_choice_is_printed_with_its_reason(tmp_path, capsys):
    for i in range(10):
        save(tmp_path / f"images/{i}.jpg")
        save(tmp_path / f"gt/{i}.png", 255)
    data.load(tmp_path)
    assert "read as pairs (folders): images and masks" in capsys.readouterr().err


def test_naming_the_folder_of_masks_implies_pairs(tmp_path):
    arguments = [
        "--data.path",
        str(tmp_path),
        "--data.masks",
        "truth",
        "--task.name",
        "segmentation",
        "--model.name",
        "unet",
    ]
    save(tmp_path / "images/a.jpg")
    save(tmp_path / "truth/a.png", 1)
    experiment = parse_experiment(arguments)[0]
    assert (experiment.data.name, experiment.data.masks) == ("pairs", "truth")


def test_cvats_colours_are_the_classes_of_its_table(tmp_path):
    save(tmp_path / "JPEGImages/a.jpg")
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[2:4], pixels[4:6] = (10, 10, 128), (224, 224, 192)
    (tmp_path / "SegmentationClass").mkdir()
    Image.fromarray(pixels).save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nhouse:10,10,128::\n")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/default.txt").write_text("a\n")
    assert len(list_masks(tmp_path)["train"]) == 1
    assert mask_table(tmp_path)[:2] == (("background", "house"), {0xE0E0C0: -1, 0: 0, 0x0A0A80: 1})
    assert data.kind_of(tmp_path).format == "voc"
    (tmp_path / "labelmap.txt").write_text("background:0,0::\n")
    with pytest.raises(ValueError, match=r"labelmap\.txt line 1: must be name:red,green,blue"):
        mask_table(tmp_path)


def test_cityscapes_masks_find_their_photos_and_have_its_19_classes(tmp_path):
    for split, city in (("train", "aachen"), ("val", "ulm")):
        name = f"{city}_000000_000019"
        save(tmp_path / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
        save(tmp_path / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png", 7)
        save(tmp_path / f"gtFine/{split}/{city}/{name}_gtFine_color.png", 90)
    pairs = list_masks(tmp_path)
    assert {split: len(own) for split, own in pairs.items()} == {"train": 1, "validation": 1}
    table = mask_table(tmp_path)
    assert len(table.names) == 19
    assert (table.codes[7], table.codes[33], table.codes[0]) == (0, 18, -1)


def photo(outlines, names, crowd=None):
    boxes = np.zeros((len(names), 4))
    shapes = tuple(polygons([[value for point in outline for value in point]]) for outline in outlines)
    crowd = None if crowd is None else np.array(crowd)
    return Objects("a.jpg", (10, 10), boxes, tuple(names), "a.json", crowd=crowd, outlines=shapes)


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


@pytest.mark.parametrize(("order", "top"), [("size", 1), ("file", 2)])
def test_the_smaller_or_the_later_of_two_objects_lies_on_top(order, top):
    mask = draw_mask(
        photo([square(2, 2, 3), square(0, 0, 8)], ["cat", "dog"]), mask_classes(["cat", "dog"]), order=order
    )
    assert mask[3, 3] == top
    assert (mask == 2).sum() == 64 - 9 * (order == "size")


def test_pixels_of_a_crowd_are_ignored_unless_an_object_covers_them():
    mask = draw_mask(photo([square(2, 2, 3), square(0, 0, 8)], ["cat", "cat"], [True, False]), mask_classes(["cat"]))
    assert (mask >= 0).all()
    mask = draw_mask(photo([square(2, 2, 3), square(4, 4, 4)], ["cat", "cat"], [True, False]), mask_classes(["cat"]))
    assert ((mask == -1).sum(), (mask == 1).sum()) == (8, 16)


def test_a_border_lies_where_two_objects_are_near_and_nowhere_else():
    classes = mask_classes(["cat"], 1)
    mask = draw_mask(photo([square(0, 0, 4), square(5, 0, 4)], ["cat", "cat"]), classes, border=1)
    assert classes == ("background", "cat", "border")
    assert sorted({column for _, column in np.argwhere(mask == 2)}) == [4]
    assert (draw_mask(photo([square(0, 0, 4)], ["cat"]), classes, border=1) < 2).all()


def test_masks_are_drawn_when_they_are_read_and_their_digest_follows_the_rule():
    photos = [photo([square(0, 0, side)], ["cat"]) for side in (2, 4)]
    masks = DrawnMasks(photos, mask_classes(["cat"]), (5, 5))
    assert masks.shape == (2, 5, 5)
    assert masks[[1, 0]].sum((1, 2)).tolist() == [4, 1]
    assert masks.digest() != DrawnMasks(photos, mask_classes(["cat"]), (5, 5), "file").digest()


@pytest.fixture
def coco(tmp_path):
    """Twelve photos with a square each, and crowds in one of them."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 16} for i in range(12)]
    for i in range(12):
        Image.new("RGB", (16, 16), (20 * i, 10, 10)).save(tmp_path / f"{i}.png")
    entries = [
        {"image_id": i, "category_id": 1, "bbox": [2, 2, 8, 8], "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}
        for i in range(12)
    ]
    table = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "house"}]}
    (tmp_path / "labels.json").write_text(json.dumps(table))
    return tmp_path


@pytest.mark.parametrize("options", [{}, {"size": 8}, {"window": 8, "crops": 4}, {"memory_megabytes": 0}])
def test_outlines_become_masks_whole_resized_in_windows_or_from_disk(coco, options):
    dataset = data.load(coco, task="segmentation", **options)
    assert dataset.spec.classes == ("background", "house")
    batch = dataset["validation"][np.arange(1)]
    assert batch["image"].shape[1:3] == batch["mask"].shape[1:]
    if not options or "memory_megabytes" in options:
        assert (batch["mask"][0] == 1).sum() == 64
        assert dataset["train"].in_memory == (not options)
    assert dataset.fingerprint() == data.load(coco, task="segmentation", **options).fingerprint()


def test_boxes_without_outlines_are_no_masks(coco):
    table = json.loads((coco / "labels.json").read_text())
    for entry in table["annotations"]:
        del entry["segmentation"]
    (coco / "labels.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"have boxes and no outlines.*--task\.name detection"):
        data.outlines(str(coco))


def test_a_plan_of_a_folder_alone_stores_the_source_that_reads_it(coco, capsys):
    import cnnlab
    from cnnlab.training.plan import make_plan

    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("unet", width=2, depth=1),
        data=cnnlab.Choice("auto", path=str(coco)),
        task=cnnlab.Choice("segmentation"),
        training=cnnlab.Training(batch_size=4),
    )
    plan = make_plan(experiment)
    assert (plan.experiment.data.name, plan.experiment.data.path) == ("outlines", str(coco))
    assert "read as outlines (coco): labels.json" in capsys.readouterr().err


def test_an_export_trains_for_an_epoch(coco, tmp_path_factory):
    import cnnlab

    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("unet", width=2, depth=1),
        data=cnnlab.Choice("auto", path=str(coco), size=8),
        task=cnnlab.Choice("segmentation"),
        training=cnnlab.Training(epochs=1, batch_size=4),
    )
    trained = cnnlab.train(experiment, tmp_path_factory.mktemp("run") / "export")
    assert trained.spec.classes == ("background", "house")
