"""The cache: where copies are, and of which address a path is the copy."""

import html
import json
from pathlib import Path

import pytest

from cnnlab.files.cache import address, begin, named, with_addresses
from cnnlab.files.copying import local
from cnnlab.quoting import for_markdown

PHOTOS = "memory://bucket/photos"


@pytest.fixture
def system(memory_store):
    """Returns fsspec's file system in memory with two photos; the cache is a folder of the test."""
    memory_store.pipe({"/bucket/photos/a.png": b"a", "/bucket/photos/night/b.png": b"bb"})
    return memory_store


def test_a_path_gives_the_address_back():
    assert address(Path("S3://bucket//a/")) == "s3://bucket/a"


def test_other_users_cannot_read_a_copy(system):
    assert local(PHOTOS).parent.stat().st_mode & 0o077 == 0


def test_a_query_is_neither_in_the_record_nor_in_the_name(system, tmp_path):
    folder, _ = begin("https://host/a.png?X-Amz-Signature=1b2c")
    assert folder.name == "a.png"
    assert "1b2c" not in (folder.parent / "copy.json").read_text()


def test_a_value_names_addresses_whatever_letters_the_cache_has(system, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "Müller & Söhne_*"))
    value = {"file": str(local(PHOTOS) / "a.png"), "boxes": [1.5, None], "drawn": [f"{local(PHOTOS)}/night"]}
    assert named(value) == {"file": f"{PHOTOS}/a.png", "boxes": [1.5, None], "drawn": [f"{PHOTOS}/night"]}
    assert named(str(tmp_path / "other" / "a.png")) == str(tmp_path / "other" / "a.png")


@pytest.mark.parametrize("escape", [html.escape, for_markdown, json.dumps], ids=lambda escape: escape.__name__)
def test_an_escaped_text_names_escaped_addresses(system, monkeypatch, tmp_path, escape):
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "Müller & Söhne_*"))
    system.pipe("/bucket/a_<&>/b.png", b"b")
    text = escape(f"{local('memory://bucket/a_<&>')}/b.png")
    assert with_addresses(text, lambda part: escape(part).strip('"')) == escape("memory://bucket/a_<&>/b.png")
