"""`cnnlab label-next` and `cnnlab label-errors`, on a small run of drawn shapes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.labelling.label_next import CHOICES


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pool():
    """A folder of twelve photos, two of them the same, and one that is none."""
    Path("pool").mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(f"pool/{i:02}.png")
    Path("pool/11.png").write_bytes(Path("pool/03.png").read_bytes())
    return "pool"


def rows(path):
    return list(csv.DictReader(Path(path).open()))


def test_label_next_writes_a_ranked_table_and_a_contact_sheet(run, pool, capsys):
    options = ["--count", "5", "--by", "mutual_information", "--mc", "4", "--output", "out", "--json"]
    assert main(["label-next", str(run), pool, *options]) == 0
    out = json.loads(capsys.readouterr().out)
    table = rows("out/label_next.csv")
    assert [row["file"] for row in table] == [record["file"] for record in out["chosen"]]
    assert [row["rank"] for row in table] == list("12345")
    scores = [float(row["score"]) for row in table]
    assert scores == sorted(scores, reverse=True)
    assert (out["pool"], out["by"]) == (12, "mutual_information")
    assert Image.open(out["sheet"]).size[0] > 500


def test_label_next_prints_a_table_and_tells_of_photos_that_are_alike(run, pool, capsys):
    assert main(["label-next", str(run), pool, "--count", "50", "--by", "entropy", "--output", "pool/out"]) == 0
    captured = capsys.readouterr()
    assert "12 of 12 photos to label next, by entropy" in captured.out
    assert "--count 50 is more than there are: all 12 photos are ranked" in captured.err
    assert "1 of these 12 look like an earlier one" in captured.err
    assert main(["label-next", str(run), pool, "--count", "50", "--by", "diverse", "--output", "pool/out"]) == 0
    captured = capsys.readouterr()
    assert "11 of 12 photos" in captured.out  # its own contact sheet is no photo of the pool
    assert "of which 1 look like a chosen one" in captured.err


def test_label_next_names_what_cannot_be_read_and_what_is_missing(run, pool, capsys):
    Path("pool/bad.png").write_text("no image")
    Path("empty").mkdir()
    for arguments, code, message in [
        ([pool], 1, "bad.png as an image"),
        (["empty"], 1, "empty holds no image"),
        ([pool, "--count", "0"], 2, "--count must be 1 or more"),
        ([], 2, "no PATH given"),
        ([str(run), pool], 2, "name a run twice"),
    ]:
        assert main(["label-next", str(run), *arguments]) == code
        assert message in capsys.readouterr().err
    assert main(["label-next", str(run), pool, "--skip-unreadable", "--output", "out"]) == 0
    assert "left out: " in capsys.readouterr().err


def test_label_next_offers_every_choice(capsys):
    assert main(["label-next", "RUN", "photos", "--by", "nonsense"]) == 2
    message = capsys.readouterr().err
    assert all(name in message for name in CHOICES)


def test_label_errors_judges_a_folder_by_the_run_itself(run, capsys):
    shapes = cnnlab.data.shapes("label", size=16, train=60, validation=8, test=8)
    for i, (image, label) in enumerate(zip(*map(shapes["train"].column, ("image", "label")), strict=True)):
        folder = Path("labelled") / shapes.spec.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    assert main(["label-errors", str(run), "labelled", "--output", "out", "--json"]) == 0
    captured = capsys.readouterr()
    out = json.loads(captured.out)
    assert "so it judges them itself" in captured.err
    assert (out["examples"], out["folds"]) == (60, 0)
    assert [row["file"] for row in rows("out/label_errors.csv")] == [record["file"] for record in out["labels"]]
    assert all(record["given"] != record["suggested"] for record in out["labels"])


def test_label_errors_trains_folds_for_the_runs_own_examples_and_removes_their_runs(run, capsys):
    assert main(["label-errors", str(run), "--folds", "2", "--output", "out"]) == 0
    captured = capsys.readouterr()
    assert "2 networks are trained for 1 epochs" in captured.err
    assert "fold 2 of 2: learns from 48, judges 48" in captured.err
    assert "labels (" in captured.out
    assert not Path("out/folds").exists()


def test_label_errors_needs_labels(run, pool, capsys):
    assert main(["label-errors", str(run), pool]) == 1
    assert "pool" in capsys.readouterr().err
    assert main(["label-errors", str(run), "--folds", "1"]) == 2
    assert "--folds must be 2 or more" in capsys.readouterr().err
