import json

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main


@pytest.fixture(scope="module")
def sheets(run, tmp_path_factory):
    """The directory that the command writes for all convolutions and an image."""
    folder = tmp_path_factory.mktemp("features")
    photo = folder / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)).save(photo)
    assert main(["features", str(run), "--image", str(photo), "--most", "4", "--output", str(folder / "out")]) == 0
    return folder / "out"


def test_each_convolution_has_a_sheet_of_each_kind_and_a_record(run, sheets):
    report = json.loads((sheets / "features.json").read_text())
    assert [record["layer"] for record in report["layers"]] == ["conv1", "conv2"]
    for layer in ("conv1", "conv2"):
        for kind in ("filters", "patches", "activations"):
            assert (sheets / f"{layer}_{kind}.png").stat().st_size > 1000


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
