import numpy as np
import pytest
from PIL import Image

from cnnlab import data
from cnnlab.commands.options import parse_experiment

LISTS = "ImageSets/Segmentation"


def save_mask(path, number):
    """Saves a mask of one object of class `number` on background, with an ignored border between them."""
    mask = np.zeros((10, 12), np.uint8)
    mask[2:8, 2:8] = 255
    mask[3:7, 3:7] = number
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [224] * 759)
    image.save(path)


@pytest.fixture
def voc(tmp_path):
    """Writes three photos with masks, one per split, and one photo without a mask that no list names."""
    for folder in ("JPEGImages", "SegmentationClass", LISTS):
        (tmp_path / folder).mkdir(parents=True)
    for name in "abcd":
        Image.new("RGB", (12, 10), (200, 10, 10)).save(tmp_path / "JPEGImages" / f"2007_{name}.jpg")
    for name, split, number in (("a", "train", 1), ("b", "val", 2), ("c", "test", 1)):
        save_mask(tmp_path / "SegmentationClass" / f"2007_{name}.png", number)
        (tmp_path / LISTS / f"{split}.txt").write_text(f"2007_{name}\n")
    return tmp_path


def test_lists_make_the_splits_and_the_border_is_ignored(voc):
    dataset = data.pairs(str(voc))
    assert {split: len(examples) for split, examples in dataset.splits.items()} == dict.fromkeys(dataset.splits, 1)
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert dataset.spec.classes == ("0", "1", "2")
    for split, number in (("train", 1), ("validation", 2), ("test", 1)):
        values, counts = np.unique(dataset[split].column("mask")[:], return_counts=True)
        assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {-1: 20, 0: 84, number: 16}


def test_trainval_is_for_training_where_neither_of_its_parts_is_listed(voc):
    (voc / LISTS / "train.txt").unlink()
    (voc / LISTS / "val.txt").rename(voc / LISTS / "trainval.txt")
    (voc / LISTS / "trainval.txt").write_text("2007_a\n2007_b\n")
    assert {split: len(pairs) for split, pairs in data.annotations.list_masks(voc).items()} == {"train": 2, "test": 1}


def test_a_path_alone_reads_masks_unless_the_folder_has_boxes_too(voc):
    arguments = ["--data.path", str(voc), "--task.name", "segmentation", "--model.name", "unet"]
    assert parse_experiment(arguments)[0].data.name == "pairs"
    (voc / "Annotations").mkdir()
    (voc / "Annotations" / "2007_a.xml").write_text("<annotation/>")
    assert data.kind_of(voc).source == "boxes"
    assert parse_experiment([*arguments, "--data.name", "pairs"])[0].data.name == "pairs"
    assert len(data.pairs(str(voc))["train"]) == 1


def test_images_and_masks_in_two_folders_are_read_as_such_beside_boxes(tmp_path):
    for folder in ("images", "masks", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation/>")
    assert data.kind_of(tmp_path).source == "pairs"


def without_mask(voc):
    (voc / "SegmentationClass" / "2007_a.png").unlink()


def without_photo(voc):
    (voc / "JPEGImages" / "2007_a.jpg").unlink()


def in_two_splits(voc):
    (voc / LISTS / "val.txt").write_text("2007_a\n")


def without_training(voc):
    (voc / LISTS / "train.txt").write_text("")


def test_without_lists_the_photo_of_every_mask_counts(voc):
    for path in (voc / LISTS).iterdir():
        path.unlink()
    assert {split: len(pairs) for split, pairs in data.annotations.list_masks(voc).items()} == {"train": 3}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_mask, r"Segmentation names a mask that is missing: .*2007_a\.png; add it or remove the line"),
        (without_photo, r"Segmentation names a photo that is missing: .*2007_a"),
        (in_two_splits, r"val\.txt: '2007_a' is already in the split train"),
        (without_training, "is in the split 'train'; the splits are validation, test"),
    ],
)
def test_what_is_missing_is_named(voc, harm, message):
    harm(voc)
    with pytest.raises(ValueError, match=message):
        data.pairs(str(voc))
