import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.commands.features_outputs import _with_units
from cnnlab.commands.features_sheets import Subject, made_for
from cnnlab.explain.taps import find_layer
from cnnlab.features.layers import distinct_layers
from cnnlab.features.visualise import Visualisation

STORED = Path(__file__).parents[1] / "goldens" / "stored_runs"


@pytest.fixture(scope="module")
def sheets(run, tmp_path_factory):
    """The directory that the command writes for all convolutions and an image."""
    folder = tmp_path_factory.mktemp("features")
    photo = folder / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)).save(photo)
    assert main(["features", str(run), "--image", str(photo), "--most", "4", "--output", str(folder / "out")]) == 0
    return folder / "out"


def test_each_convolution_has_a_sheet_of_each_kind_and_every_layer_its_activations(run, sheets):
    report = json.loads((sheets / "features.json").read_text())
    layers = ["conv1", "conv2", "dense1", "dense2", "dense3"]
    assert [record["layer"] for record in report["layers"]] == layers
    assert report["layers_of_activations"] == {"all": 5, "drawn": 5}
    assert ["top" in record for record in report["layers"]] == [True, True, False, False, False]
    drawn = {f"{layer}_{kind}.png" for layer in layers[:2] for kind in ("filters", "patches")}
    drawn |= {f"{layer}_activations.png" for layer in layers}
    assert {path.name for path in sheets.glob("*.png")} == drawn


def test_of_many_layers_some_have_activations_and_the_rest_is_counted(run, sheets, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cnnlab.commands.features_outputs._MOST_LAYERS", 2)
    monkeypatch.setattr("cnnlab.commands.features_outputs._PASS_BYTES", 1)  # a pass for each layer
    options = ["--image", str(sheets.parent / "photo.png"), "--no-patches", "--unit", "5", "--output", str(tmp_path)]
    assert main(["features", str(run), *options]) == 0
    assert "2 of 5 layers have a sheet of activations; --layer names others" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("*activations*")) == [
        "conv1_activations.png",
        "dense3_activations.png",
    ]


def test_the_record_has_the_numbers_of_the_functions(run, sheets):
    record = json.loads((sheets / "features.json").read_text())["layers"][1]
    trained, data = cnnlab.load(run), cnnlab.training.restore.load_data(run)
    best = cnnlab.features.top_patches(trained, data, "conv2")
    assert record["dead"] == best.dead.tolist()
    assert [unit["index"] for unit in record["top"]] == best.index.tolist()
    assert record["similarity"] == pytest.approx(cnnlab.features.filter_similarity(trained)["conv2"])
    assert record["receptive_field"] == list(best.view.size)


def test_named_layers_get_images_made_for_their_units(run, tmp_path, capsys):
    options = ["--layer", "conv1", "--unit", "2", "--count", "3", "--json", "--output", str(tmp_path)]
    assert main(["features", str(run), *options]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    (made,) = layer["visualised"]
    assert made["unit"] == 2
    assert 0 <= made["percentile"] <= 100
    assert len(layer["top"][2]["values"]) == 3


def test_a_unit_that_noise_does_not_excite_has_no_percentile():
    made = {"images": None, "history": None, "transparency": None, "layer": "conv", "objective": "mean"}
    seen = Visualisation(activation=np.array([0.0, 0.5]), units=np.array([4, 1]), receptive_field=None, **made)
    best = SimpleNamespace(percentile=lambda unit, activation: 100 * unit * activation)
    assert [made_for(best, seen, row) for row in (0, 1)] == ["noise does not excite it", "image above 50 %"]


def test_only_the_last_layer_has_the_classes():
    trained = cnnlab.load(STORED / "segmentation")
    subjects = _with_units(trained, distinct_layers(trained), (), 2)
    assert [bool(subject.classes) for subject in subjects] == [False] * (len(subjects) - 1) + [True]
    assert subjects[-1].classes == trained.spec.classes


@pytest.mark.parametrize(("task", "layers"), [("segmentation", 6), ("detection", 4)])
def test_every_task_with_convolutions_has_sheets(task, layers, tmp_path, capsys):
    assert main(["features", str(STORED / task), "--most", "2", "--json", "--output", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["layers"]) == layers
    assert all(len(record["sheets"]) == 2 and record["without_patterns"] is None for record in report["layers"])


def test_a_network_without_convolutions_shows_its_dense_layers_and_the_weights_of_the_pixels(tmp_path):
    run = str(STORED / "classification")
    assert main(["features", run, "--most", "3", "--output", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.glob("*.png")}
    assert "dense1_filters.png" in names
    assert {name for name in names if "filters" not in name} == {
        f"{record['layer']}_patches.png" for record in json.loads((tmp_path / "features.json").read_text())["layers"]
    }


def test_units_of_the_logits_are_named_by_their_classes(run):
    layer = find_layer(cnnlab.load(run), "dense3")
    subject = Subject(layer, None, [2, 0], None, ("disc", "square", "triangle"))
    assert subject.labels == ["unit 2 (triangle)", "unit 0 (disc)"]
    assert subject._replace(classes=()).labels == ["unit 2", "unit 0"]
    assert subject.title == "dense3: 3 units, of which 2 are shown; each sees the whole image"


def test_large_patches_take_more_pages_with_fewer_units(run, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnlab.commands.features_sheets._PAGE_BYTES", 5 * 2 * 256 * 4)  # 4 units with 2 patches
    assert (
        main(["features", str(run), "--layer", "conv1", "--no-visualise", "--count", "2", "--output", str(tmp_path)])
        == 0
    )
    assert sorted(path.name for path in tmp_path.glob("*patches*")) == ["conv1_patches.png", "conv1_patches_2.png"]


def test_without_patches_no_data_is_read(run, tmp_path, capsys):
    options = ["--no-patches", "--layer", "conv2", "--unit", "0", "1", "--json", "--output", str(tmp_path)]
    assert main(["features", str(run), *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "images" not in report
    assert [path.split("/")[-1] for path in report["layers"][0]["sheets"]] == ["conv2_filters.png", "conv2_images.png"]


def test_patches_of_streamed_photos_name_their_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / ("train" if i < 12 else "test") / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(path)
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("lenet5", dropout=0.5),
        data=cnnlab.Choice("folder", path=str(tmp_path / "photos"), size=16, memory_megabytes=0),
        training=cnnlab.Training(epochs=1, batch_size=4),
    )
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert main(["features", str(tmp_path / "run"), "--count", "2", "--json", "--output", str(tmp_path / "out")]) == 0
    first = json.loads(capsys.readouterr().out)["layers"][0]["top"][0]
    assert len(first["file"]) == 2
    assert all((tmp_path / "photos" / name).is_file() for name in first["file"])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layer", "conv3"], 1, "did you mean 'conv2'"),
        (["--layer", "conv1", "--unit", "6"], 1, "0..5"),
        (["--count", "0"], 2, "--count must be 1 or more, found 0"),
        (["--split", "tets"], 1, "has no split 'tets'"),
        (["--image", "nothing.png"], 1, "nothing.png"),
    ],
)
def test_what_does_not_exist_is_named(run, options, code, message, tmp_path, capsys):
    assert main(["features", str(run), *options, "--output", str(tmp_path)]) == code
    assert message in capsys.readouterr().err
