"""Groups that stay in one split, and duplicates that splits share."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import folder, from_arrays, split_columns
from cnnlab.data.duplicates import find_duplicates, warn_duplicates
from cnnlab.data.groups import groups_of

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def test_groups_stay_whole_and_the_shares_and_classes_are_met_as_far_as_they_allow():
    groups = np.repeat([f"p{i}" for i in range(50)], 4).astype(object)
    label = np.repeat(np.arange(50) % 2, 4).astype(np.int32)
    parts = split_columns({"image": np.arange(200), "label": label, "group": groups}, SHARES, seed=0)
    found = {split: set(part["group"]) for split, part in parts.items()}
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 50
    assert all(abs(len(part["image"]) - 200 * SHARES[split]) <= 4 for split, part in parts.items())  # one group
    assert all(0.35 <= part["label"].mean() <= 0.65 for part in parts.values())


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match="2 groups are too few for 3 splits"):
        split_columns({"image": np.arange(6), "group": np.array(list("aabbbb"), object)}, SHARES, seed=0)


@pytest.mark.parametrize(
    ("group", "message"), [("(", "regular expression"), ("sheet", "does not occur in the path 'a.png'")]
)
def test_a_group_that_no_path_has_is_refused(group, message):
    with pytest.raises(ValueError, match=message):
        groups_of(["a.png"], group)


@pytest.fixture
def patients(tmp_path):
    """Two classes of 20 images; each of ten patients has two images of each."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(20):
            Image.fromarray(rng.integers(0, 255, (12, 12), np.uint8)).save(tmp_path / label / f"p{i // 2}_{i % 2}.png")
    return tmp_path


def test_a_part_of_the_path_keeps_a_patient_in_one_split(patients):
    data = folder(str(patients), group=r"(p\d+)_")
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 28, "validation": 4, "test": 8}
    assert "group" not in data["train"].columns


def test_a_column_of_the_table_keeps_a_patient_in_one_split(patients):
    rows = [f"{label}/p{i // 2}_{i % 2}.png,{label},p{i // 2}" for label in "ab" for i in range(20)]
    (patients / "targets.csv").write_text("\n".join(["file,label,patient", *rows]))
    data = folder(str(patients), group="patient")
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 28, "validation": 4, "test": 8}


def test_a_group_in_two_splits_of_the_folder_is_refused(patients):
    rows = [
        f"{label}/p{i // 2}_{i % 2}.png,{label},p{i // 3},{'test' if i > 9 else 'train'}"
        for label in "ab"
        for i in range(20)
    ]
    (patients / "targets.csv").write_text("\n".join(["file,label,patient,split", *rows]))
    with pytest.raises(ValueError, match="the group 'p3' is in the splits train and test"):
        folder(str(patients), group="patient")


def dataset(train, test):
    splits = {"train": train, "validation": train[:1] // 2, "test": test}
    rng = np.random.default_rng(9)
    splits["validation"] = rng.integers(0, 255, (2, 24, 24, 1), np.uint8)
    return from_arrays(
        {split: {"image": images, "label": np.arange(len(images)) % 2} for split, images in splits.items()},
        classes=("a", "b"),
    )


def test_the_same_image_and_one_that_looks_the_same_are_counted_and_told():
    images = np.random.default_rng(0).integers(0, 255, (30, 6, 6, 1), np.uint8).repeat(4, 1).repeat(4, 2)
    brighter = np.clip(images[1].astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    data = dataset(images[:20], np.stack([images[0], brighter, *images[20:]]))
    count = find_duplicates(data)[("train", "test")]
    assert (count.same, count.alike, count.example) == (1, 1, (0, 0))
    with pytest.warns(
        UserWarning, match="of the split test, 1 image is also in train and 1 image looks the same as one of train"
    ):
        warn_duplicates(data)


def test_a_single_image_among_many_that_looks_the_same_is_no_warning(recwarn):
    images = np.random.default_rng(0).integers(0, 255, (140, 6, 6, 1), np.uint8).repeat(4, 1).repeat(4, 2)
    brighter = np.clip(images[1].astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    data = dataset(images[:20], np.stack([brighter, *images[20:]]))
    assert find_duplicates(data)[("train", "test")].alike == 1
    warn_duplicates(data)
    assert not recwarn.list


def test_different_images_and_blank_ones_do_not_look_the_same():
    images = np.random.default_rng(0).integers(0, 255, (30, 24, 24, 1), np.uint8)
    images[3], images[25] = 0, 255
    assert find_duplicates(dataset(images[:20], images[20:])) == {}


def test_bytes_of_files_on_disk_are_compared(patients):
    (patients / "a" / "copy.png").write_bytes((patients / "a" / "p0_0.png").read_bytes())
    total = sum(count.same for count in find_duplicates(folder(str(patients), seed=0, memory_megabytes=0)).values())
    splits = {
        name: split
        for split, part in folder(str(patients), seed=0, memory_megabytes=0).splits.items()
        for name in part.column("image").names
    }
    assert total == (splits["a/copy.png"] != splits["a/p0_0.png"])
