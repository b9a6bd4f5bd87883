"""Data at an address: every option that names a place is copied, apart from what TFDS reads by itself."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cnnlab import cli
from cnnlab.data import SOURCES, Source, describe, kind_of, load, load_data
from cnnlab.data.labelled import labelled_folder

PHOTOS = "memory://bucket/photos"


@pytest.fixture
def photos(memory_store):
    """Puts six photos of two classes to memory://bucket/photos; the cache is a folder of the test."""
    file = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, format="png")
    memory_store.pipe({f"/bucket/photos/{name}/{i}.png": file.getvalue() for name in ("cat", "dog") for i in range(3)})
    return PHOTOS


def test_a_folder_elsewhere_is_read_like_a_local_one(photos, capsys):
    assert kind_of(photos).source == "folder"
    assert load(photos, validation=0.34, test=0.34).name == "photos"
    assert describe(photos).classes == {"cat": 3, "dog": 3}


def test_a_labelled_folder_elsewhere_is_measured(photos):
    spec = load_data("folder", path=photos, validation=0.34, test=0.34).spec
    assert len(labelled_folder(photos, spec, split="test", task="classification", options={})["test"]) == 6


def test_every_option_is_copied_but_the_folder_of_prepared_data(photos, monkeypatch):
    monkeypatch.setitem(SOURCES, "own", Source(lambda **options: options, ("path",), moves=("data_dir",)))
    options = load_data("own", path=f"{photos}/cat", mask=f"{photos}/dog/0.png", data_dir="gs://bucket/tfds", size=3)
    assert options["path"].endswith("/cat")
    assert options["mask"].endswith("/0.png")
    assert "://" not in options["path"] + options["mask"]
    assert (options["data_dir"], options["size"]) == ("gs://bucket/tfds", 3)


PACK = ["data", "pack", PHOTOS, "--data.validation", "0.34", "--data.test", "0.34", "--output"]
RUN = "memory://bucket/run"


def test_a_pack_elsewhere_is_written_trained_on_and_measured(photos, memory_store, monkeypatch, tmp_path):
    pytest.importorskip("array_record", reason="needs array_record")
    assert cli.main([*PACK, "memory://bucket/pack"]) == 0
    names = json.loads(memory_store.cat("/bucket/pack/train-files.json"))
    assert names[0].startswith(f"{PHOTOS}/cat/")
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "other machine"))
    training = ["--model.name", "linear", "--training.epochs", "1", "--training.batch-size", "2"]
    assert cli.main(["train", "--data.path", "memory://bucket/pack", "--run-dir", RUN, *training]) == 0
    assert json.loads(memory_store.cat("/bucket/run/experiment.json"))["data"]["path"] == "memory://bucket/pack"
    for options in ([], ["--data.path", "memory://bucket/pack", "--split", "train"]):
        assert cli.main(["evaluate", RUN, *options]) == 0


def test_a_pack_that_was_interrupted_goes_on_on_another_machine(photos, memory_store, monkeypatch, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cnnlab.data.packing._write_array", interrupt)
        assert cli.main([*PACK, "memory://bucket/pack"]) == 130
    assert memory_store.exists("/bucket/pack/unfinished.json")
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "other machine"))
    assert cli.main([*PACK, "memory://bucket/pack"]) == 0
    assert not memory_store.exists("/bucket/pack/unfinished.json")


@pytest.mark.parametrize("output", [PHOTOS, f"{PHOTOS}/packed"])
def test_a_pack_inside_its_folder_elsewhere_is_refused(photos, memory_store, capsys, output):
    assert cli.main([*PACK, output]) == 2
    assert f"the pack {output} would lie in the folder {PHOTOS}" in capsys.readouterr().err
    assert len(memory_store.find("/bucket")) == 6
