"""Data at an address: every option that names a place is copied, apart from what TFDS reads by itself."""

import io

import numpy as np
import pytest
from PIL import Image

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
