"""Annotations as tools and people lay them out: names with spaces, subfolders, suffixes in any case, key points."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.annotations import list_masks, read_annotations, read_table
from cnnlab.data.sources import boxes
from cnnlab.data.sources.detection_folder import MAX_OBJECTS

SIZE = (40, 20)


def photos(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(folder / name, "PNG" if name.lower().endswith("png") else "JPEG")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def xml(photo):
    box = "<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    objects = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    return f"<annotation><filename>{photo}</filename>{objects}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """Twelve photos whose names hold a space."""
    for i in range(12):
        photos(tmp_path / "JPEGImages", f"cam0 {i}.jpg")
        write(tmp_path / f"Annotations/cam0 {i}.xml", xml(f"cam0 {i}.jpg"))
    return tmp_path


def lists(root, **names):
    for split, numbers in names.items():
        write(root / f"ImageSets/Main/{split}.txt", "".join(f"cam0 {i}\n" for i in numbers))


def test_a_name_with_a_space_in_a_list_is_that_name(voc):
    lists(voc, train=range(6), val=range(6, 9), test=range(9, 12))
    found = read_annotations(voc)
    assert [photo.photo.name for photo in found.objects] == [f"cam0 {i}.jpg" for i in range(12)]
    assert found.split == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3


def test_a_mark_of_a_class_behind_a_name_is_left_out(voc):
    write(voc / "ImageSets/Main/train.txt", "cam0 1  1\ncam0 2 -1\ncam0 3\t0\n")
    with pytest.warns(UserWarning, match="left out 9 files that are no annotation that a list names"):
        assert [photo.photo.stem for photo in read_annotations(voc).objects] == ["cam0 1", "cam0 2", "cam0 3"]


def test_trainval_without_train_gives_what_no_other_list_names(voc):
    lists(voc, trainval=range(9), val=range(6, 9), test=range(9, 12))
    split = dict(zip((p.photo.stem for p in read_annotations(voc).objects), read_annotations(voc).split, strict=True))
    assert [split[f"cam0 {i}"] for i in range(12)] == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3


def test_a_listed_name_without_annotation_is_named(voc):
    write(voc / "ImageSets/Main/train.txt", "cam0 1\ncam7\n")
    with pytest.raises(ValueError, match=r"names 'cam7', but there is no .*cam7\.xml"):
        read_annotations(voc)


def test_voc_files_of_subfolders_and_of_suffixes_in_upper_case_count(tmp_path):
    photos(tmp_path / "JPEGImages", "a.JPG", "night/b.jpg")
    write(tmp_path / "Annotations/a.XML", xml("a.jpg"))
    write(tmp_path / "Annotations/night/b.xml", xml("b.jpg"))
    write(tmp_path / "Annotations/._a.xml", "of a file manager")
    assert [photo.photo.name for photo in read_annotations(tmp_path).objects] == ["a.JPG", "b.jpg"]


@pytest.fixture
def yolo(tmp_path):
    """Ten photos, half of them in a subfolder, with one object each; some suffixes in upper case."""
    for i in range(10):
        below = "night/" if i > 4 else ""
        photos(tmp_path / "images", f"{below}{i}.jpg")
        write(tmp_path / f"labels/{below}{i}{('.txt', '.TXT')[i % 2]}", "0 .5 .5 .2 .2\n")
    write(tmp_path / "classes.txt", "cat\n")
    return tmp_path


def test_yolo_labels_of_subfolders_and_of_suffixes_in_upper_case_count(yolo):
    found = read_annotations(yolo)
    assert [photo.names for photo in found.objects] == [("cat",)] * 10


def test_photos_beside_the_folders_of_splits_are_named(yolo):
    for i in range(10):
        photos(yolo / "images/train", f"t{i}.jpg")
        write(yolo / f"labels/train/t{i}.txt", "0 .5 .5 .2 .2\n")
    with pytest.warns(UserWarning, match="left out 10 files that are no photo of a split"):
        assert len(read_annotations(yolo).objects) == 10


def test_key_points_behind_the_box_are_not_a_polygon(yolo):
    write(yolo / "labels/0.txt", "0 .5 .5 .2 .2 .1 .1 2 .9 .9 1\n")
    with pytest.raises(ValueError, match=r"0\.txt line 1: coordinates are shares .* found 2; .*kpt_shape"):
        read_annotations(yolo)
    write(yolo / "data.yaml", "names: [cat]\nkpt_shape: [2, 3]\n")
    np.testing.assert_allclose(read_annotations(yolo).objects[0].boxes, [[16, 8, 24, 12]])
    write(yolo / "labels/0.txt", "0 .5 .5 .2 .2 .1 .1\n")
    with pytest.raises(ValueError, match="4 finite numbers, and 6 numbers of key points"):
        read_annotations(yolo)


def test_a_confidence_behind_the_box_is_refused(yolo):
    write(yolo / "labels/0.txt", "0 .5 .5 .2 .2 .87\n")
    with pytest.raises(ValueError, match=r"0\.txt line 1: must be a class"):
        read_annotations(yolo)


def test_pixels_instead_of_shares_are_refused(yolo):
    write(yolo / "labels/3.TXT", "0 12 14 5 5\n")
    with pytest.raises(ValueError, match=r"3\.TXT line 1: coordinates are shares of .* found 12; divide pixels"):
        read_annotations(yolo)


def test_photos_without_any_object_are_refused_with_what_was_looked_for(yolo):
    for path in (yolo / "labels").rglob("*.[tT]*"):
        path.write_text("")
    with pytest.raises(ValueError, match="no photo of .* has an object: looked in .*labels for text files"):
        read_annotations(yolo)


def test_a_training_split_without_an_object_is_refused(yolo):
    for i in range(10):
        photos(yolo / "images/train", f"t{i}.jpg")
        photos(yolo / "images/val", f"v{i}.jpg")
        write(yolo / f"labels/train/t{i}.txt", "")
        write(yolo / f"labels/val/v{i}.txt", "0 .5 .5 .2 .2\n")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="no training photo .* has an object"),
    ):
        boxes(str(yolo), size=32)


def test_a_photo_of_many_objects_costs_only_its_own_and_is_named(yolo):
    write(yolo / "labels/0.txt", "0 .5 .5 .2 .2\n" * 20_000)
    tracemalloc.start()
    with pytest.warns(UserWarning, match=r"19,000 objects beyond the first 1,000 of .*0\.jpg, left out"):
        data = boxes(str(yolo), size=32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data["train"][np.arange(2)]["boxes"].shape == (2, MAX_OBJECTS, 4)
    assert peak < 50_000_000


def test_yaml_is_bounded_in_size_and_depth(tmp_path):
    write(tmp_path / "data.yaml", "[" * 5000)
    with pytest.raises(ValueError, match="nested more than 20 deep|nesting depth"):
        read_table(tmp_path / "data.yaml")
    write(tmp_path / "data.yaml", "names:\n" + "".join(f"  {i}: c{i}\n" for i in range(200_000)))
    with pytest.raises(ValueError, match="more than the 1,000,000 of a YAML file"):
        read_table(tmp_path / "data.yaml")


@pytest.fixture
def coco(tmp_path):
    """A function that writes a file of three photos, changed by its arguments, and reads it."""
    photos(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")

    def read(place=(), value=None):
        table = {
            "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("abc")],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [{"image_id": i, "category_id": 1, "bbox": [1, 2, 3, 4]} for i in range(3)],
        }
        holder = table
        for key in place[:-1]:
            holder = holder[key]
        if place:
            holder[place[-1]] = value
        write(tmp_path / "annotations/instances.json", json.dumps(table))
        return read_annotations(tmp_path)

    return read


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("images", 1, "id"), "", r"images\[1\]\.id must be a whole number or text, found ''"),
        (("images", 1, "id"), "0", r"images\[1\]\.id 0 occurs twice"),
        (("images", 1, "id"), [1], r"images\[1\]\.id must be a whole number or text, found \[1\]"),
        (("images", 1, "file_name"), 7, r"images\[1\]\.file_name must be text that is not empty, found 7"),
        (("images", 1, "file_name"), "a.jpg", r"a\.jpg is annotated twice, by .*images\[0\] and .*images\[1\]"),
        (("images", 2), [], r"images\[2\] must be an object, found \[\]"),
        (("categories", 1, "id"), None, r"categories\[1\]\.id must be a whole number or text, found None"),
        (("categories", 1, "name"), None, r"categories\[1\]\.name must be text"),
        (("annotations", 2, "bbox"), [1, 2, 3, 10**400], r"annotations\[2\]\.bbox must be 4 finite numbers"),
        (("annotations", 2, "bbox"), [1, 2, 3], r"annotations\[2\]\.bbox must be 4 finite numbers"),
        (("annotations", 2, "iscrowd"), "0", r"annotations\[2\]\.iscrowd must be 0 or 1, found '0'"),
        (("annotations", 2, "area"), float("inf"), r"annotations\[2\]\.area must be a number from 0 to 1e\+18"),
        (("annotations", 2, "area"), -1, r"annotations\[2\]\.area must be a number from 0 to 1e\+18, found -1"),
        (("annotations", 2, "image_id"), 2.5, r"annotations\[2\]\.image_id must be a whole number or text, found 2.5"),
    ],
)
def test_what_is_no_coco_is_named_by_file_place_and_value(coco, place, value, message):
    with pytest.raises(ValueError, match=message) as error:
        coco(place, value)
    assert "instances.json" in str(error.value)


def test_ids_of_coco_may_be_text_of_numbers_or_of_letters(coco):
    assert coco(("annotations", 2, "image_id"), "2").objects[2].names == ("cat",)
    assert coco(("categories", 1, "id"), "second").classes == ("cat", "dog")
    with pytest.raises(ValueError, match=r"annotations\[2\] has image_id x2, category_id 1; no such entry"):
        coco(("annotations", 2, "image_id"), "x2")


def test_a_missing_photo_is_named_in_a_folder_that_exists(coco, tmp_path):
    with pytest.raises(ValueError, match=r"images\[1\] names a photo that is missing: .*/(annotations|images)/x\.jpg"):
        coco(("images", 1, "file_name"), "x.jpg")


def test_what_coco_may_leave_out_may_be_null(coco):
    assert coco(("annotations", 2, "area"), None).objects[2].boxes.tolist() == [[1, 2, 4, 6]]


def test_images_and_masks_of_subfolders_pair_by_their_paths_and_looks(tmp_path):
    photos(tmp_path / "images", "caf\u00e9.JPG", "night/1.png", "night/._1.png")
    photos(tmp_path / "masks", "cafe\u0301.png", "night/1.PNG", "notes.PNG.jpg.png")
    with pytest.raises(ValueError, match="without a partner of the same name in .*notes"):
        list_masks(tmp_path)
    (tmp_path / "masks/notes.PNG.jpg.png").unlink()
    pairs = list_masks(tmp_path)["train"]
    assert [(image.suffix, mask.suffix) for image, mask in pairs] == [(".JPG", ".png"), (".png", ".PNG")]


@pytest.mark.parametrize("names", [("Train", "Val"), ("train2017", "val2017")])
def test_folders_that_look_like_splits_without_being_any_are_refused(tmp_path, names):
    write(tmp_path / "classes.txt", "cat\n")
    for name in names:
        photos(tmp_path / "images" / name, f"{name}.png")
        write(tmp_path / "labels" / name / f"{name}.txt", "0 .5 .5 .2 .2\n")
        photos(tmp_path / "masks" / name, f"{name}.png")
    for read in (read_annotations, list_masks):
        with pytest.raises(ValueError, match=f"{names[0]} looks like a split; call the splits train, "):
            read(tmp_path)


def test_splits_within_the_folders_of_images_and_masks_are_kept(tmp_path):
    for folder in ("images", "masks"):
        photos(tmp_path / folder, "train/a.png", "val/b.png", "valid/c.png", "test/d.png")
    pairs = list_masks(tmp_path)
    assert {split: [image.stem for image, _ in own] for split, own in pairs.items()} == {
        "train": ["a"],
        "validation": ["c", "b"],
        "test": ["d"],
    }


def test_lists_of_voc_may_have_the_names_of_splits_in_any_case(voc):
    lists(voc, Train=range(6), VALID=range(6, 9), test=range(9, 12))
    assert read_annotations(voc).split.count("validation") == 3


def test_photos_without_suffix_are_found_by_their_labels(tmp_path):
    photos(tmp_path / "images", "p0")
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "labels/p0.txt", "0 .5 .5 .2 .2\n")
    assert read_annotations(tmp_path).objects[0].photo == tmp_path / "images/p0"


def test_two_photos_or_labels_of_one_name_are_refused(yolo):
    photos(yolo / "images", "twin.jpg", "twin.png")
    with pytest.raises(ValueError, match=r"twin\.jpg and .*twin\.png have one name"):
        read_annotations(yolo)


@pytest.mark.parametrize("place", ["labels/data.yaml", "pose.yaml"])
def test_key_points_are_known_from_any_yaml_file_beside_the_labels(tmp_path, place):
    photos(tmp_path / "images", "a.png")
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / place, "names: [cat]\nkpt_shape: [2, 3]\n")
    write(tmp_path / "labels/a.txt", "0 .5 .5 .2 .2 .1 .1 1 .9 .9 1\n")
    assert read_annotations(tmp_path).objects[0].boxes[0].tolist() == pytest.approx([16, 8, 24, 12])


def test_photos_that_no_annotation_names_are_counted(voc):
    photos(voc / "JPEGImages", "cam1 0.jpg", "cam1 1.jpg")
    with pytest.warns(UserWarning, match=r"left out 2 files that are no photo that an annotation names: .*cam1 0\.jpg"):
        assert len(read_annotations(voc).objects) == 12


@pytest.mark.parametrize(("mark", "value"), [("true", True), ("Unspecified", False), ("maybe", None)])
def test_a_mark_of_voc_is_read_in_words_or_refused(voc, mark, value):
    for path in (voc / "Annotations").iterdir():
        path.write_text(path.read_text().replace("</name>", f"</name><difficult>{mark}</difficult>"))
    if value is None:
        with pytest.raises(ValueError, match="<difficult> must be 0 or 1, found 'maybe'"):
            read_annotations(voc)
    else:
        assert read_annotations(voc).objects[0].difficult.tolist() == [value]


def test_shares_instead_of_pixels_are_refused(voc):
    for path in (voc / "Annotations").iterdir():
        path.write_text(path.read_text().replace(">1<", ">.1<").replace(">2<", ">.2<").replace(">9<", ">.9<"))
    with pytest.raises(ValueError, match=r"cam0 0\.xml: no box reaches beyond the first pixel"):
        boxes(str(voc), size=16)


def test_photos_of_crowds_alone_are_nothing_to_learn_from(coco, tmp_path):
    coco(("annotations",), [{"image_id": i, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1} for i in range(3)])
    with (
        pytest.raises(ValueError, match="no training photo of .* has an object to learn"),
        pytest.warns(match="crowds"),
    ):
        boxes(str(tmp_path), size=16, validation=0.3, test=0.3)
