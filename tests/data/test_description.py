"""What a folder is said to hold before it is used."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnlab.cli import main
from cnnlab.data.description import describe


def save(path, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 10, 10)).save(path)


@pytest.fixture
def yolo(tmp_path):
    """Two splits; a photo of two cats of which one reaches out, one of a dog, and one of nothing."""
    for name, lines in (("train/a", "0 .5 .5 .5 .5\n0 .9 .5 .4 .5\n"), ("train/b", "1 .5 .5 .1 .2\n"), ("val/c", "")):
        save(tmp_path / f"images/{name}.png", (80, 40) if name == "train/b" else (40, 20))
        (tmp_path / f"labels/{name}.txt").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"labels/{name}.txt").write_text(lines)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    return tmp_path


def test_splits_classes_sizes_objects_and_what_is_wrong_are_counted(yolo):
    found = describe(yolo)
    assert (found.kind.source, found.kind.format) == ("boxes", "yolo")
    assert found.splits == {"train": 2, "validation": 1}
    assert found.classes == {"cat": 2, "dog": 1}
    assert found.rare == ("cat", "dog")
    assert found.sizes == {"smallest": (20, 40), "median": (20, 40), "largest": (40, 80)}
    assert found.objects == {"fewest": 0, "median": 1, "most": 2, "none": 1}
    assert found.boxes == {"cat": (10, 16), "dog": (8, 8)}
    assert "1 box reaching out, clipped" in found.notes


def test_masks_are_described_by_the_shares_of_their_pixels(tmp_path):
    for i in range(3):
        save(tmp_path / f"images/{i}.png")
        mask = np.zeros((20, 40), np.uint8)
        mask[:5] = 1
        (tmp_path / "gt").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"gt/{i}.png")
    found = describe(tmp_path)
    assert found.kind.source == "pairs"
    assert found.classes == {"0": 0.75, "1": 0.25}
    assert len(found.draw().axes) == 3


def test_a_folder_of_classes_is_described(tmp_path):
    for i in range(5):
        save(tmp_path / f"{'cat' if i else 'dog'}/{i}.png")
    found = describe(tmp_path)
    assert found.kind.source == "folder"
    assert (found.splits, found.classes) == ({"all": 5}, {"cat": 4, "dog": 1})


def test_files_that_are_no_images_are_counted_and_the_first_is_named(tmp_path):
    for name in ("cat/1", "cat/2", "dog/1"):
        save(tmp_path / f"{name}.png")
    (tmp_path / "dog" / "2.png").write_bytes(b"no image")
    (note,) = describe(tmp_path).notes
    assert note == f"of 4 files 1 cannot be read as an image, such as {tmp_path / 'dog' / '2.png'}; repair or remove it"


def test_a_folder_of_nothing_known_shows_the_smallest_layouts(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"also looked for Annotations/\*\.xml") as told:
        describe(tmp_path)
    assert "DIR/images/1.jpg DIR/labels/1.txt DIR/classes.txt" in str(told.value)


def test_the_command_prints_one_json_object_and_draws_the_contact_sheet(yolo, tmp_path, capsys):
    main(["data", "describe", str(yolo), "--sheet", str(tmp_path / "out.png"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["read_as"], found["format"], found["classes"]) == ("boxes", "yolo", {"cat": 2, "dog": 1})
    with Image.open(tmp_path / "out.png") as image:
        assert min(image.size) > 200


def test_the_command_prints_a_line_for_each_class(yolo, tmp_path, capsys):
    main(["data", "describe", str(yolo), "--sheet", str(tmp_path / "out.png")])
    out = capsys.readouterr().out
    assert "is read as boxes (yolo): classes.txt" in out
    assert "images    2 train, 1 validation" in out
    assert "median 16x10 px  rare" in out
