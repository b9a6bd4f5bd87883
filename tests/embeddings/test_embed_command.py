import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.embeddings import Space, extract
from cnnlab.files.images import read_pixels

STORED = Path(__file__).parents[1] / "goldens" / "stored_runs"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of twelve photos without labels."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(12):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 30), np.uint8)).save(folder / f"{i}.png")
    return folder


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def printed(capsys, *arguments):
    assert main(["embed", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_table_has_places_and_predictions_of_the_chosen_images(run, tmp_path, capsys):
    report = printed(capsys, run, "--count", 30, "--method", "pca", "--mc", 3, "--output", tmp_path / "new" / "a.csv")
    table = rows(tmp_path / "new" / "a.csv")
    assert report["images"] == len(table) == 30
    assert set(table[0]) >= {"index", "split", "pca.x", "pca.y", "truth", "prediction", "correct", "mutual_information"}
    truth = cnnlab.training.restore.load_data(run)["test"].column("label")
    classes = cnnlab.load(run).spec.classes
    assert [row["truth"] for row in table] == [classes[truth[int(row["index"])]] for row in table]
    assert set(report["projections"]["pca"]) == {"trustworthiness", "knn_accuracy"}


def test_the_same_seed_writes_the_same_table_and_figure(run, tmp_path, capsys):
    for name in ("a", "b"):
        assert main(["embed", str(run), "--seed", "3", "--output", str(tmp_path / f"{name}.png")]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert Image.open(tmp_path / "a.png").size[0] > 1000
    assert "trustworthiness" in capsys.readouterr().out


def test_the_page_holds_the_images_of_two_splits_without_a_link_to_elsewhere(run, tmp_path, capsys):
    options = ("--split", "test", "validation", "--method", "pca", "--output", tmp_path / "map.html")
    assert printed(capsys, run, *options)["images"] == 72
    assert {row["split"] for row in rows(tmp_path / "map.csv")} == {"test", "validation"}
    text = (tmp_path / "map.html").read_text()
    assert "validation 31" in text
    assert 'src="http' not in text


def test_photos_without_labels_have_predictions_and_no_truth(run, photos, tmp_path, capsys):
    report = printed(capsys, run, photos, "--method", "pca", "--output", tmp_path / "p.csv")
    table = rows(tmp_path / "p.csv")
    assert "knn_accuracy" not in report
    assert [Path(row["file"]).name for row in table][:2] == ["0.png", "1.png"]
    assert {"prediction", "probability"} <= set(table[0])
    assert "truth" not in table[0]


def test_a_photo_that_cannot_be_read_is_named_or_left_out(run, photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "broken.png").write_bytes(b"no image")
    options = ("--method", "pca", "--output", str(tmp_path / "p.csv"))
    assert main(["embed", str(run), str(folder), *options]) == 1
    error = capsys.readouterr().err
    assert "broken.png" in error
    assert "--skip-unreadable leaves out such files, here 1 of 13" in error
    assert main(["embed", str(run), str(folder), *options, "--skip-unreadable"]) == 0
    assert len(rows(tmp_path / "p.csv")) == 12


def test_a_labelled_folder_is_mapped_with_its_classes(run, photos, tmp_path, capsys):
    classes = cnnlab.load(run).spec.classes
    for i, file in enumerate(sorted(photos.iterdir())):
        (tmp_path / "new" / classes[i % 3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "new" / classes[i % 3])
    report = printed(capsys, run, tmp_path / "new", "--method", "pca", "--output", tmp_path / "n.csv")
    assert "knn_accuracy" in report
    table = rows(tmp_path / "n.csv")
    assert [Path(row["file"]).parent.name for row in table] == [row["truth"] for row in table]


@pytest.mark.parametrize("task", ["regression", "segmentation", "detection"])
def test_other_tasks_have_the_columns_that_they_know(task, tmp_path, capsys):
    run, out = STORED / task, tmp_path / "t.csv"
    report = printed(capsys, run, "--method", "pca", "--count", 12, "--output", out)
    known = {"regression": "error", "segmentation": "mean_iou", "detection": "missed"}[task]
    assert {"pca.x", known} <= set(rows(out)[0])
    assert "knn_accuracy" not in report


def test_neighbours_of_a_number_are_those_of_the_space(run, capsys):
    found = printed(capsys, run, "--near", 3, "--nearest", 4)
    trained, data = cnnlab.load(run), cnnlab.training.restore.load_data(run)["test"]
    expected = Space(extract(trained, data)).nearest(3, count=4)
    assert [each["image"] for each in found["neighbours"]] == [f"test {i}" for i in expected.index]
    assert [each["similarity"] for each in found["neighbours"]] == pytest.approx(expected.similarity.tolist(), abs=1e-5)
    assert found["typicality"] == pytest.approx(expected.typicality)


def test_there_are_no_more_neighbours_than_other_images(run, capsys):
    assert len(printed(capsys, run, "--near", 3, 4, "--nearest", 50)["neighbours"]) == 38


def test_a_sum_of_photos_is_drawn_and_leaves_them_out(run, photos, tmp_path, capsys):
    a, b, c = (str(photos / f"{i}.png") for i in range(3))
    options = ["--near", a, "--plus", c, "--minus", b, "--nearest", "9", "--output", str(tmp_path / "near.png")]
    assert main(["embed", str(run), str(photos), *options]) == 0
    out = capsys.readouterr().out
    assert f"nearest to {a} + {c} - {b}" in out
    assert all(str(photos / f"{i}.png") in out.partition("neighbours")[2] for i in range(3, 12))
    assert Image.open(tmp_path / "near.png").size[0] > 300


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--method", "tnse"], 1, "did you mean 'tsne'"),
        (["--plus", "3"], 2, "name its image, such as --near photo.jpg"),
        (["--near", "nothing.png"], 1, "nothing.png is no file, and no number of an image of the split test"),
        (["--near", "40"], 1, "which has 0..39"),
        (["--output", "map.txt"], 2, "--output must end in .html, .png, .pdf, .svg, .csv, .parquet, found map.txt"),
        (["--split", "tst"], 1, "has no split 'tst'"),
        (["--count", "1"], 2, "--count must be 2 or more, found 1"),
        (["--layer", "conv9"], 1, "unknown layer 'conv9'"),
        (["--method", "tsne", "--neighbours", "40"], 1, "tsne with 40 neighbours needs more than 40 images, found 40"),
        (["missing"], 1, "missing does not exist"),
    ],
)
def test_what_cannot_be_mapped_is_refused(options, code, message, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(run), *options]) == code
    assert message in capsys.readouterr().err


def test_pixels_that_fill_the_memory_are_refused_with_the_number_that_fits(run, monkeypatch, capsys):
    monkeypatch.setattr("cnnlab.commands.embed_inputs._MOST_NUMBERS", 20 * 16 * 16)
    assert main(["embed", str(run), "--layer", "pixels"]) == 1
    assert "the pixels of 40 images of 16x16x1 do not fit in a gigabyte; choose --count 20" in capsys.readouterr().err


def test_photos_of_a_regression_have_the_predicted_numbers(photos, tmp_path, capsys):
    printed(capsys, STORED / "regression", photos, "--method", "pca", "--output", tmp_path / "p.csv")
    trained, table = cnnlab.load(STORED / "regression"), rows(tmp_path / "p.csv")
    image = read_pixels(photos / "3.png", **trained.spec.layout)
    (value,) = np.asarray(cnnlab.predict(trained, image[None]).value)
    found = next(row for row in table if row["file"].endswith("/3.png"))
    names = [f"prediction.{name}" for name in trained.spec.classes]
    assert [float(found[name]) for name in names] == pytest.approx(value.tolist(), rel=1e-3, abs=1e-3)
