"""Tests of the readers of VOC, COCO and YOLO folders, and of the letterbox."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.annotations import find_format, mend, read_annotations, read_table
from cnnlab.data.sources import boxes
from cnnlab.files.images import read_header, read_pixels
from cnnlab.geometry.letterbox import from_frames, place, to_canvas, to_photo


def photos(folder, *names, size=(40, 20)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (200, 10, 10)).save(folder / name)


def xml(*objects, filename="0.png"):
    entries = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d, hard in objects
    )
    return f"<annotation><filename>{filename}</filename>{entries}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """Writes nine photos of 40 x 20 pixels, three per split; the last of each split has no objects."""
    names = [f"{i}.png" for i in range(9)]
    photos(tmp_path / "JPEGImages", *names)
    for folder in ("Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        objects = [("cat", 1, 1, 40, 20, 0), ("dog", 11, 6, 20, 10, 1)] if i % 3 < 2 else []
        (tmp_path / "Annotations" / f"{i}.xml").write_text(xml(*objects, filename=name))
    for k, split in enumerate(("train", "val", "test")):
        (tmp_path / f"ImageSets/Main/{split}.txt").write_text("\n".join(f"{3 * k + i}" for i in range(3)))
    return tmp_path


def test_a_voc_pixel_counted_from_one_reaches_to_its_far_edge(voc):
    (first, *_) = read_annotations(voc).objects
    assert first.boxes.tolist() == [[0, 0, 40, 20], [10, 5, 20, 10]]
    assert first.size == (20, 40)


def test_voc_lists_make_the_splits_and_photos_without_objects_stay(voc):
    data = boxes(str(voc), size=32)
    assert {split: len(examples) for split, examples in data.splits.items()} == dict.fromkeys(data.splits, 3)
    assert data.spec.classes == ("cat", "dog")
    assert data["test"].column("classes").tolist() == [[0, 1], [0, 1], [-1, -1]]


def test_a_photo_that_two_files_annotate_is_named(voc):
    (voc / "Annotations" / "1.xml").write_text(xml(("cat", 1, 1, 9, 9, 0), filename="0.png"))
    with pytest.raises(ValueError, match=r"0\.png is annotated twice, by .*0\.xml and .*1\.xml; keep one"):
        read_annotations(voc)


def test_difficult_objects_are_marked_and_need_not_be_learnt(voc):
    first = boxes(str(voc), size=32)["train"][np.arange(1)]
    assert first["difficult"].tolist() == [[False, True]]
    assert first["learnt"].all()
    with pytest.warns(UserWarning, match="6 difficult, not learnt"):
        first = boxes(str(voc), size=32, difficult=False)["train"][np.arange(1)]
    assert first["learnt"].tolist() == [[True, False]]
    assert first["difficult"].tolist() == [[False, True]]


def test_pixels_and_boxes_share_one_letterbox(voc):
    data = boxes(str(voc), size=32)  # 40 x 20 becomes 32 x 16, eight rows of grey above and below
    one = data["train"][np.arange(1)]
    assert one["boxes"][0].tolist() == [[0, 8, 32, 24], [8, 12, 16, 16]]
    assert (one["image"][0, :8] == 127).all()
    assert (one["image"][0, 8:24, :, 0] == 200).all()
    assert (one["image"][0, 24:] == 127).all()


@pytest.mark.parametrize("photo", [(480, 640), (333, 77), (1, 5000), (416, 416)])
@pytest.mark.parametrize("canvas", [(416, 416), (100, 300)])
def test_a_letterboxed_box_comes_back_exactly(photo, canvas):
    boxes = np.random.default_rng(0).uniform(0, 5000, (50, 4))
    np.testing.assert_allclose(to_photo(to_canvas(boxes, photo, canvas), photo, canvas), boxes, rtol=0, atol=1e-8)
    left, top, height, width = place(photo, canvas)
    whole = to_canvas(np.array([0, 0, photo[1], photo[0]]), photo, canvas)
    np.testing.assert_allclose(whole, [left, top, left + width, top + height])
    assert 0 <= top <= canvas[0] - height
    assert 0 <= left <= canvas[1] - width


def test_a_streamed_letterbox_equals_the_one_in_memory(voc):
    memory, stream = boxes(str(voc), size=32), boxes(str(voc), size=32, memory_megabytes=0)
    assert not stream["train"].in_memory
    np.testing.assert_array_equal(memory["train"].column("image"), stream["train"].column("image")[np.arange(3)])
    assert memory.spec == stream.spec


def test_stretching_fills_the_canvas(voc):
    data = boxes(str(voc), size=(10, 20), fit="stretch")
    assert data["train"].column("boxes")[0].tolist() == [[0, 0, 20, 10], [5, 2.5, 10, 5]]
    assert (read_pixels(voc / "JPEGImages/0.png", size=(10, 20), channels=3)[..., 0] == 200).all()


def coco(root, annotations, name="all.json"):
    table = {
        "images": [{"id": 7, "file_name": "0.png"}, {"id": 9, "file_name": "1.png"}],
        "categories": [{"id": 5, "name": "zebra"}, {"id": 2, "name": "ant"}],
        "annotations": annotations,
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / name).write_text(json.dumps(table))


def test_a_coco_box_is_corner_and_size_and_classes_stand_by_id(tmp_path):
    photos(tmp_path / "images", "0.png", "1.png")
    one = {"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]}
    coco(tmp_path, [one, one | {"iscrowd": 1}])
    annotations = read_annotations(tmp_path)
    assert annotations.classes == ("ant", "zebra")
    assert annotations.objects[0].boxes.tolist() == [[1, 2, 4, 6]] * 2
    assert [one.crowd.tolist() for one in annotations.objects] == [[False, True], []]


def test_a_photos_own_area_and_frame_stand_beside_its_boxes(tmp_path):
    one = {"image_id": 7, "category_id": 5, "bbox": [0, 0, 40, 10]}
    for split in ("train", "val", "test"):
        photos(tmp_path / split, "0.png", "1.png")
        coco(tmp_path, [one | {"area": 123.5}, one, one | {"iscrowd": 1}], f"{split}.json")
    with pytest.warns(UserWarning, match="3 crowds, not learnt"):
        first = boxes(str(tmp_path), size=32)["train"][np.arange(1)]
    assert first["area"].tolist() == [[123.5, 400, 400]]
    assert first["learnt"].tolist() == [[True, True, False]]
    assert first["photo_size"].tolist() == [[20, 40]]
    assert first["frame"].tolist() == [[0, 8, 32, 24]]
    np.testing.assert_allclose(from_frames(first["boxes"], first["frame"], first["photo_size"])[0, 0], [0, 0, 40, 10])


def test_coco_files_are_splits_by_the_word_in_their_name(tmp_path):
    for split in ("train2017", "val2017"):
        photos(tmp_path / split, "0.png", "1.png")
        coco(tmp_path, [{"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]}], f"instances_{split}.json")
    annotations = read_annotations(tmp_path)
    assert annotations.split == ["train", "train", "validation", "validation"]
    assert annotations.objects[2].photo == tmp_path / "val2017" / "0.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 1}, "image_id 1, category_id 5; no such entry"),
        ({"bbox": [1, 2, None, 4]}, "bbox must be 4 finite numbers"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox must be 4 finite numbers"),
    ],
)
def test_a_wrong_coco_annotation_is_named(change, message, tmp_path):
    photos(tmp_path / "images", "0.png", "1.png")
    coco(tmp_path, [{"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]} | change])
    with pytest.raises(ValueError, match=message):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("images", {"id": 7, "file_name": "1.png"}, r"images\[2\].id 7 occurs twice"),
        ("categories", {"id": 3, "name": "ant"}, "categories 2 and 3 are both called 'ant'"),
        ("categories", {"id": 3}, "name"),
    ],
)
def test_a_wrong_coco_table_is_named(part, entry, message, tmp_path):
    photos(tmp_path / "images", "0.png", "1.png")
    coco(tmp_path, [])
    file = tmp_path / "annotations" / "all.json"
    table = json.loads(file.read_text())
    table[part].append(entry)
    file.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=message):
        read_annotations(tmp_path)


def test_photos_of_another_size_than_annotated_are_reported(tmp_path):
    photos(tmp_path / "images", "0.png", "1.png")
    coco(tmp_path, [{"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]}])
    file = tmp_path / "annotations" / "all.json"
    table = json.loads(file.read_text())
    height, width = read_header(tmp_path / "images" / "0.png")[0]
    table["images"][0] |= {"height": width, "width": height}  # as a tool that ignores the EXIF tag writes it
    table["images"][1] |= {"height": height, "width": width}
    file.write_text(json.dumps(table))
    message = f"1 photo of another size .*0.png with {width}x{height} instead of {height}x{width}"
    with pytest.warns(UserWarning, match=message), contextlib.suppress(ValueError):  # two photos are too few to split
        boxes(str(tmp_path), size=32)


def test_of_the_official_archive_the_instances_count(tmp_path):
    photos(tmp_path / "train2017", "0.png", "1.png")
    coco(tmp_path, [], "instances_train2017.json")
    coco(tmp_path, [], "person_keypoints_train2017.json")
    (tmp_path / "annotations" / "captions_train2017.json").write_text('{"images": [], "annotations": []}')
    assert len(read_annotations(tmp_path).objects) == 2


def yolo(root, text):
    photos(root / "images" / "train", "a.png", "b.png")
    (root / "labels" / "train").mkdir(parents=True)
    (root / "labels" / "train" / "a.txt").write_text(text)
    (root / "classes.txt").write_text("cat\ndog\n")
    return root


def test_a_yolo_line_is_centre_and_size_relative_to_the_photo(tmp_path):
    annotations = read_annotations(yolo(tmp_path, "1 0.5 0.5 0.25 0.5\n"))
    assert annotations.objects[0].boxes.tolist() == [[15, 5, 25, 15]]
    assert annotations.objects[0].names == ("dog",)
    assert annotations.objects[1].names == ()
    assert annotations.split == ["train", "train"]


@pytest.mark.parametrize(
    "line",
    [
        "2 .5 .5 .1 .1",
        "0 .5 .5 .1",
        "0 .5 .5 nan .1",
        "cat .5 .5 .1 .1",
        "0.5 .5 .5 .1 .1",
        "0 .5 .5 .1 .1 .9",
        "0 .1 .1 .2 .2 .3 inf",
        "0 .1 .1 .2 .2 .3 .3 .4",
    ],
)
def test_a_wrong_yolo_line_is_named(line, tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt line 2: must be a class 0\.\.1 and 4 finite numbers"):
        read_annotations(yolo(tmp_path, f"0 .5 .5 .1 .1\n{line}\n"))


def test_of_a_yolo_polygon_the_tight_box_is_taken(tmp_path):
    annotations = read_annotations(yolo(tmp_path, "0 .25 .5 .5 .1 .75 .9\n1 .5 .5 .25 .5\n"))  # of 40 x 20 pixels
    np.testing.assert_allclose(annotations.objects[0].boxes, [[10, 2, 30, 18], [15, 5, 25, 15]])
    assert annotations.objects[0].names == ("cat", "dog")


def yolo_by_split(root, *splits):
    """Writes two photos per split, one of a dog and one without a text file."""
    for split in splits:
        photos(root / split / "images", "a.png", "b.png")
        (root / split / "labels").mkdir()
        (root / split / "labels" / "a.txt").write_text("1 .5 .5 .25 .5\n")
    (root / "data.yaml").write_text("train: /home/else/train/images\nval: ../valid/images\nnc: 2\nnames: [cat, dog]\n")
    return root


def test_yolo_photos_and_text_files_may_lie_in_a_folder_for_each_split(tmp_path):
    data = boxes(str(yolo_by_split(tmp_path, "train", "valid", "test")), size=(20, 40))
    assert {split: len(data[split]) for split in data.splits} == {"train": 2, "validation": 2, "test": 2}
    assert data.spec.classes == ("cat", "dog")
    assert data["validation"].column("boxes").tolist() == [[[15, 5, 25, 15]], [[0, 0, 0, 0]]]
    assert data["validation"].column("classes").tolist() == [[1], [-1]]


@pytest.mark.parametrize(("missing", "other"), [("labels", "images"), ("images", "labels")])
@pytest.mark.parametrize("place", ["valid/{}", "{}/val"])
def test_a_yolo_split_without_photos_or_text_files_is_named(place, missing, other, tmp_path):
    if place == "{}/val":
        yolo(tmp_path, "")
    else:
        yolo_by_split(tmp_path, "train")
    (tmp_path / place.format(other)).mkdir(parents=True)
    message = f"{place.format(missing)} is no folder; add it, or remove .*{place.format(other)}"
    with pytest.raises(ValueError, match=message):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    "text", ["names: [cat, dog]", "names: {1: dog, 0: cat}", "nc: 2\nnames:\n  0: cat\n  1: ' dog'\n"]
)
@pytest.mark.parametrize("name", ["data.yaml", "dataset.yaml"])
def test_yolo_classes_may_stand_in_a_yaml_file(name, text, tmp_path):
    (yolo(tmp_path, "1 .5 .5 .25 .5") / "classes.txt").unlink()
    (tmp_path / name).write_text(text)
    annotations = read_annotations(tmp_path)
    assert annotations.classes == ("cat", "dog")
    assert annotations.objects[0].names == ("dog",)


def test_a_text_table_of_yolo_classes_comes_before_a_yaml_file(tmp_path):
    (yolo(tmp_path, "1 .5 .5 .25 .5") / "data.yaml").write_text("names: [a, b]")
    assert read_annotations(tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold names: .* found None"),
        ("nc: 2", "must hold names: .* found {'nc': 2}"),
        ("names: cat", "must hold names: .* found {'names': 'cat'}"),
        ("names: []", "one class or more, each once, found nothing"),
        ("names: [cat, ' cat']", "one class or more, each once, found cat, cat"),
        ("names: [yes, no]", "a name must be text, found True; put it in quotes"),
        ("names: [cat, '']", "a name must be text, found ''"),
        ("names: {0: cat, 2: dog}", "without gaps, found .0, 2."),
        ("names: {1: cat, 2: dog}", "without gaps, found .1, 2."),
        ("names: {0: cat, yes: dog}", "without gaps, found .0, True."),
        ("names: {0: cat, one: dog}", "without gaps, found .0, 'one'."),
        ("names: [cat", "cannot read .* as YAML"),
        ("names: " + "[" * 1000, "cannot read .* as YAML"),
        ("names: !!int ''", "cannot read .* as YAML"),
        ("names: !!python/name:os.system cat", "cannot read .* as YAML"),
        ("a: &a [cat]\nnames: *a", "aliases are not read, write them out"),
        ("#" * 5_000_001, "more than the [15],000,000"),
    ],
)
def test_a_wrong_yaml_file_of_classes_is_named(text, message, tmp_path):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(tmp_path / "data.yaml")
    assert "data.yaml" in str(caught.value)


def test_only_folders_of_photos_with_text_files_and_classes_are_taken_for_yolo(tmp_path):
    by_split, flat, classes, pairs = (tmp_path / name for name in ("by_split", "flat", "classes", "pairs"))
    assert find_format(yolo_by_split(by_split, "valid")) == "yolo"
    assert find_format(yolo(flat, "")) == "yolo"
    for root, folders in ((classes, ("train/cat", "train/images")), (pairs, ("images", "masks", "train/images"))):
        for folder in folders:
            photos(root / folder, "a.png")
        (root / "data.yaml").write_text("names: [cat, dog]")
        assert find_format(root) is None
    (by_split / "data.yaml").unlink()
    assert find_format(by_split) is None


def test_bad_boxes_are_put_in_order_clipped_dropped_or_kept_and_counted(voc):
    objects = [(20, 3, 11, 9), (30, 5, 60, 10), (50, 1, 60, 5), (6, 7, 6, 7)]
    (voc / "Annotations/0.xml").write_text(xml(*(("cat", *corners, 0) for corners in objects)))
    with pytest.warns(UserWarning, match=r"1 reversed, put in order; 1 outside, dropped; 1 reaching out, clipped"):
        data = boxes(str(voc), size=(20, 40))
    first = data["train"][np.arange(1)]
    assert first["boxes"][0, :3].tolist() == [[10, 2, 20, 9], [29, 4, 40, 10], [5, 6, 6, 7]]
    assert first["classes"][0].tolist() == [0, 0, 0, -1]


def test_a_box_without_area_is_kept_where_it_lies():
    mended = mend(np.array([[3.0, 4, 3, 4], [0, 2, 0, 5], [40, 0, 45, 9], [-5, 0, 0, 9]]), (20, 40))
    assert mended.keep.tolist() == [True, True, False, False]
    assert mended.counts["without area, kept"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "no well-formed XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "document type or entities"),
        (xml(("cat", 1, 1, 5, 5, 0), filename="none.png"), "names a photo that is missing"),
        (xml(("cat", 1, 1, 5, 5, 0), filename="../../0.png"), "must lie inside"),
        (xml(("cat", "one", 1, 5, 5, 0)), "<xmin> must be a finite number, found 'one'"),
        (xml(("", 1, 1, 5, 5, 0)), "an object has no <name>"),
        ("x" * 5_000_001, "more than the [15],000,000"),
    ],
)
def test_a_wrong_xml_is_named(text, message, voc):
    (voc / "Annotations/0.xml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        boxes(str(voc), size=32)
    assert "0.xml" in str(caught.value)


def test_an_xml_in_another_encoding_is_refused(voc):
    (voc / "Annotations/0.xml").write_bytes(xml().encode("utf-16"))
    with pytest.raises(ValueError, match=r"0\.xml is not UTF-8"):
        boxes(str(voc), size=32)


def test_a_class_that_the_table_lacks_is_named_with_its_file(voc):
    (voc / "names.txt").write_text("cat\n")
    with pytest.raises(ValueError, match=r"0\.xml: unknown class 'dog'"):
        boxes(str(voc), size=32, classes="names.txt")


def test_a_truncated_photo_is_named(voc):
    path = voc / "JPEGImages" / "0.png"
    Image.effect_noise((40, 20), 50).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"cannot read .*0\.png"):
        boxes(str(voc), size=32)


@pytest.mark.parametrize("memory", [1000, 0])
def test_unreadable_photos_are_named_or_left_out_with_their_objects_and_counted(voc, memory):
    (voc / "JPEGImages" / "0.png").write_text("no image")
    Image.effect_noise((40, 20), 50).save(voc / "JPEGImages" / "3.png")
    whole = (voc / "JPEGImages" / "3.png").read_bytes()
    (voc / "JPEGImages" / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read .*0.png as an image .*--data.skip-unreadable"):
        boxes(str(voc), size=32, memory_megabytes=memory)
    with pytest.warns(UserWarning, match=r"2 of 9 files of .* skipped; the first: cannot read .*0.png"):
        dataset = boxes(str(voc), size=32, memory_megabytes=memory, skip_unreadable=True)
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 2,
        "validation": 2,
        "test": 3,
    }
    assert (dataset["train"].column("classes") >= 0).sum(1).tolist() == [2, 0]  # photos 1 and 2


def test_a_yolo_photo_that_is_no_image_can_be_left_out(tmp_path):
    photos(tmp_path / "images", *(f"{i}.png" for i in range(6)))
    (tmp_path / "images" / "3.png").write_bytes(b"")
    (tmp_path / "labels").mkdir()
    for i in range(6):
        (tmp_path / "labels" / f"{i}.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(ValueError, match=r"cannot read .*3\.png"):
        boxes(str(tmp_path), size=32)
    with pytest.warns(UserWarning, match="1 of 6 files"):
        dataset = boxes(str(tmp_path), size=32, skip_unreadable=True)
    assert sum(len(examples) for examples in dataset.splits.values()) == 5


def test_a_folder_without_annotations_says_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match="looked for Annotations"):
        boxes(str(tmp_path))


def test_the_path_alone_finds_the_reader(voc):
    from cnnlab.commands.options import parse_experiment

    experiment, _ = parse_experiment(["--data.path", str(voc), "--task.name", "detection"])
    assert experiment.data.name == "boxes"
    assert Path(experiment.data.path) == voc


def test_the_path_alone_finds_the_reader_of_yolo_files_by_split(tmp_path):
    from cnnlab.commands.options import parse_experiment

    path = str(yolo_by_split(tmp_path, "train", "valid"))
    assert parse_experiment(["--data.path", path, "--task.name", "detection"])[0].data.name == "boxes"


def test_bccd_has_its_splits_and_all_its_boxes(shared):
    data = boxes(str(shared / "bccd/BCCD"), size=32)
    assert [len(data[split]) for split in ("train", "validation", "test")] == [205, 87, 72]
    counts = sum(np.bincount(examples.column("classes").ravel() + 1, minlength=4) for examples in data.splits.values())
    assert dict(zip(data.spec.classes, counts[1:].tolist(), strict=True)) == {"Platelets": 361, "RBC": 4155, "WBC": 372}
