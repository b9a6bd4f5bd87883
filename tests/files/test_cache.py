"""The cache: where copies are, and of which address a path is the copy."""

from pathlib import Path

import pytest

from cnnlab.files.cache import address, begin
from cnnlab.files.copying import local

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
