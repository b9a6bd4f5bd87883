import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.data.labelled import labelled_folder
from cnnlab.data.spec import InputSpec

SPEC = InputSpec((8, 8), 1, classes=("bird", "cat", "dog"))


def write(path, value=0, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).convert(mode).save(path)


def read(root, spec=SPEC, *, split="test", task="classification", **options):
    return labelled_folder(root, spec, split=split, task=task, options=options)


def test_classes_are_matched_by_name_whatever_their_order_and_those_that_lack_are_named(tmp_path):
    for name, value in {"cat": 10, "dog": 20}.items():  # here cat is 0, for the network it is 1
        write(tmp_path / name / "a.png", value)
    with pytest.warns(UserWarning, match="no example of bird"):
        examples = read(tmp_path)["test"]
    assert examples.columns["label"].tolist() == [1, 2]
    assert examples.columns["image"][:, 0, 0, 0].tolist() == [10, 20]


def test_classes_that_the_network_does_not_know_are_left_out_and_named(tmp_path):
    for name in ("bird", "cat", "dog", "doge"):
        write(tmp_path / name / "a.png")
    with pytest.warns(UserWarning, match=r"left out what the network does not know \(doge\).*did you mean 'dog'"):
        assert read(tmp_path)["test"].columns["label"].tolist() == [0, 1, 2]


def test_a_folder_without_any_known_class_is_refused_with_the_classes(tmp_path):
    write(tmp_path / "fish" / "a.png")
    with pytest.raises(ValueError, match="none of the network's classes: unknown class 'fish'; known: bird, cat, dog"):
        read(tmp_path)


def test_of_several_splits_the_one_asked_for_counts_and_a_missing_one_is_named(tmp_path):
    for split, n in {"train": 2, "test": 1}.items():
        for name in SPEC.classes:
            for i in range(n):
                write(tmp_path / split / name / f"{i}.png")
    assert len(read(tmp_path)["test"]) == 3
    with pytest.raises(ValueError, match="no split 'validation'; it has test, train"):
        read(tmp_path, split="validation")


def test_numbers_of_a_table_follow_the_networks_order(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "targets.csv").write_text("file,weight,age\na.png,70,30\n")
    spec = InputSpec((8, 8), 1, classes=("age", "weight"))
    assert read(tmp_path, spec, task="regression")["test"].columns["target"].tolist() == [[30, 70]]


def test_values_of_masks_follow_the_names_in_the_table(tmp_path):
    write(tmp_path / "images" / "a.png", 9)
    write(tmp_path / "masks" / "a.png", 5)
    (tmp_path / "classes.csv").write_text("class,value\nroof,5\nlawn,6\nfloor,0\n")
    spec = InputSpec((4, 4), 1, classes=("floor", "roof"))
    with pytest.warns(UserWarning, match="lawn"), pytest.warns(UserWarning, match="no example of floor"):
        examples = read(tmp_path, spec, task="segmentation")["test"]
    assert len(examples) == 4  # windows of the network's size
    assert (examples.columns["mask"][:] == 1).all()


def test_boxes_follow_the_networks_classes(tmp_path):
    write(tmp_path / "a.png", mode="RGB")
    boxes = [[1, 1, 2, 2], [4, 4, 3, 3]]
    annotations = [{"id": i, "image_id": 1, "category_id": i, "bbox": b, "iscrowd": 0} for i, b in enumerate(boxes, 1)]
    table = {
        "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "fox"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(table))
    spec = InputSpec((8, 8), 3, classes=("cat", "dog"))
    with pytest.warns(UserWarning, match="fox"), pytest.warns(UserWarning, match="no object of cat"):
        columns = read(tmp_path, spec, task="detection")["test"].columns
    assert columns["classes"][:].tolist() == [[1]]
    assert columns["boxes"][:].tolist() == [[[1, 1, 3, 3]]]


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory):
    """Trains a network on bright and dark images and returns the run."""
    root = tmp_path_factory.mktemp("own")
    for name, value in {"bright": 200, "dark": 20}.items():
        for i in range(12):
            write(root / "photos" / name / f"{i}.png", value + i)
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("dense", dropout=0.5),
        data=cnnlab.Choice("folder", path=str(root / "photos")),
        training=cnnlab.Training(epochs=2, batch_size=8),
    )
    cnnlab.train(experiment, root / "run", quiet=True)
    return root / "run"


def test_a_run_is_measured_on_another_folder_beside_its_own_report(folder_run, tmp_path, capsys):
    for name, value in {"bright": 200, "dark": 20}.items():
        write(tmp_path / "other" / name / "a.png", value)
    table = tmp_path / "table.csv"
    own = ["evaluate", str(folder_run), "--ood", str(tmp_path / "other" / "dark"), "--json"]
    assert main(own) == 0
    before = (folder_run / "report" / "report.md").read_bytes()
    assert main([*own, "--data.path", str(tmp_path / "other"), "--predictions", str(table)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["examples"] == 2
    with open(table, newline="") as file:
        assert [row["truth"] for row in csv.DictReader(file)] == ["bright", "dark"]
    assert (folder_run / "report-other" / "report.md").exists()
    assert (folder_run / "report" / "report.md").read_bytes() == before


def test_moved_data_is_still_the_runs_own(folder_run, tmp_path):
    shutil.copytree(folder_run.parent / "photos", tmp_path / "photos")
    assert cnnlab.evaluate(folder_run, tmp_path / "photos") == cnnlab.evaluate(folder_run)


def test_a_fit_to_another_folder_is_refused_with_the_cure(folder_run, tmp_path):
    write(tmp_path / "bright" / "a.png", 200)
    with pytest.warns(UserWarning, match="another folder"), pytest.raises(ValueError, match="--calibrate saved"):
        cnnlab.evaluate(folder_run, tmp_path, calibrate="temperature")
