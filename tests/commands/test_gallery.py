"""`cnnlab predict --gallery` on a small ranking run of drawn shapes."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main


@pytest.fixture(scope="module")
def ranked(small, tmp_path_factory):
    """Trains a ranking for one epoch and returns its run directory."""
    path = tmp_path_factory.mktemp("ranked") / "run"
    cnnlab.train(dataclasses.replace(small, task=cnnlab.Choice("ranking", size=8)), path, quiet=True)
    return str(path)


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """A gallery of four photos, and a larger query that shows the third one."""
    monkeypatch.chdir(tmp_path)
    Path("gallery").mkdir()
    shapes = cnnlab.data.shapes(size=16, train=8, validation=2, test=4)["test"].column("image")[..., 0]
    for i, image in enumerate(shapes):
        Image.fromarray(image).save(f"gallery/{i}.png")
    Image.fromarray(shapes[2]).resize((48, 48), Image.Resampling.NEAREST).save("query.png")


def predicted(capsys):
    return json.loads(capsys.readouterr().out)["predictions"]


def test_a_query_of_another_size_retrieves_its_own_image_first(ranked, capsys):
    assert main(["predict", ranked, "query.png", "--gallery", "gallery"]) == 0
    records = predicted(capsys)
    assert [record["rank"] for record in records] == [1, 2, 3, 4]
    assert records[0]["image"] == "gallery/2.png"
    assert 1 >= records[0]["similarity"] > 0.99  # resizing blurs the query


def test_a_photo_of_the_gallery_is_not_its_own_neighbour(ranked, capsys):
    assert main(["predict", ranked, "gallery/1.png", "--gallery", "gallery", "--nearest", "2"]) == 0
    records = predicted(capsys)
    assert len(records) == 2
    assert "gallery/1.png" not in [record["image"] for record in records]


def test_neighbours_are_written_and_drawn(ranked, capsys):
    for _ in range(2):  # the second time the figure lies in the gallery, and is no photo of it
        options = ["--gallery", "gallery", "--output", "gallery/out", "--format", "csv"]
        assert main(["predict", ranked, "query.png", "gallery/0.png", *options]) == 0
    table = list(csv.DictReader(io.StringIO(Path("gallery/out/predictions.csv").read_text())))
    assert list(table[0]) == ["file", "rank", "image", "similarity"]
    assert len(table) == 4 + 3
    assert Image.open("gallery/out/neighbours.png").width > 300


def test_without_a_gallery_the_embedding_is_printed(ranked, capsys):
    assert main(["predict", ranked, "query.png"]) == 0
    (record,) = predicted(capsys)
    assert np.linalg.norm(record["embedding"]) == pytest.approx(1, rel=1e-5)
    assert len(record["embedding"]) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query.png", "--gallery", "query.png"], "--gallery query.png holds one image; name two or more"),
        (["broken.png", "--gallery", "gallery"], "or leave such files out with --skip-unreadable"),
        (["query.png", "--gallery", "gallery", "broken.png"], "broken.png"),
        (["query.png", "--gallery", "nowhere"], "nowhere does not exist"),
        (["query.png", "--gallery", "gallery", "--nearest", "0"], "--nearest must be 1 or more"),
        (["query.png", "--gallery", "gallery", "--tile", "64"], "--gallery is for photos: leave out"),
    ],
)
def test_what_cannot_be_retrieved_is_refused(ranked, arguments, message, capsys):
    Path("broken.png").write_bytes(b"no image")
    assert main(["predict", ranked, *arguments]) != 0
    assert message in capsys.readouterr().err


def test_unreadable_photos_of_a_gallery_are_left_out_on_request(ranked, capsys):
    Path("gallery/broken.png").write_bytes(b"no image")
    assert main(["predict", ranked, "query.png", "--gallery", "gallery", "--skip-unreadable"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["predictions"]) == 4
    assert "left out: cannot read gallery/broken.png" in captured.err


def test_a_classifier_has_no_embedding_to_retrieve_by(run, capsys):
    assert main(["predict", str(run), "query.png", "--gallery", "gallery"]) != 0
    assert "--gallery is for networks that embed images (ranking)" in capsys.readouterr().err


def test_embed_maps_the_embedding_itself(ranked):
    trained, images = cnnlab.load(ranked), np.zeros((3, 16, 16, 1), np.uint8)
    features = cnnlab.embeddings.extract(trained, images)
    np.testing.assert_allclose(features, cnnlab.predict(trained, images).embedding, rtol=1e-5)
