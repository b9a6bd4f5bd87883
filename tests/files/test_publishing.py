"""What is changed in a copy: what is published, in which order, and what stays."""

import html
import shutil

import pytest

from cnnlab.files import publishing
from cnnlab.files.cache import here
from cnnlab.files.copying import fetch
from cnnlab.files.publishing import publish, publish_beside, written
from cnnlab.quoting import for_markdown

PHOTOS = "memory://bucket/photos"


@pytest.fixture
def system(memory_store):
    """Returns fsspec's file system in memory with two photos; the cache is a folder of the test."""
    memory_store.pipe({"/bucket/photos/a.png": b"a", "/bucket/photos/night/b.png": b"bb"})
    return memory_store


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_what_has_changed_is_published(system):
    folder = fetch(PHOTOS)
    (folder / "c.png").write_bytes(b"c")
    assert (publish(PHOTOS), publish(PHOTOS)) == (["c.png"], [])
    assert system.cat("/bucket/photos/c.png") == b"c"


def test_what_is_published_is_not_read_again(system, reads):
    (fetch(PHOTOS) / "c.png").write_bytes(b"c")
    publish(PHOTOS)
    del reads[:]
    fetch(PHOTOS)
    assert not reads


def test_a_file_deleted_here_is_deleted_there_only_on_request(system):
    (fetch(PHOTOS) / "a.png").unlink()
    publish(PHOTOS)
    assert system.exists("/bucket/photos/a.png")
    publish(PHOTOS, remove=lambda name: True)
    assert not system.exists("/bucket/photos/a.png")


def test_objects_are_written_in_their_turn_and_deleted_in_the_opposite_one(system, monkeypatch):
    done = []
    monkeypatch.setattr(publishing, "upload", lambda _, name, __: done.append(name))
    monkeypatch.setattr(publishing, "delete", lambda _, name: done.append(f"-{name}"))
    folder = fetch(PHOTOS)
    for name in ("last.txt", "x.txt", "left_out.txt"):
        (folder / name).write_text("1")
    turns = {"last.txt": 1, "left_out.txt": None, "a.png": 1}
    shutil.rmtree(folder / "night")
    (folder / "a.png").unlink()
    publish(PHOTOS, lambda name: turns.get(name, 0), remove=lambda name: True)
    assert done == ["x.txt", "last.txt", "-a.png", "-night/b.png"]


def test_a_published_text_names_the_address_instead_of_the_copy(system, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "my_<cache>"))
    folder = fetch(PHOTOS)
    for name, escape in (("a.txt", str), ("a.md", for_markdown), ("a.html", html.escape)):
        (folder / name).write_text(f"see {escape(str(folder / 'a.png'))} and /elsewhere/b.png")
    publish(PHOTOS)
    texts = [system.cat(f"/bucket/photos/a.{kind}").decode() for kind in ("txt", "md", "html")]
    assert texts == ["see memory://bucket/photos/a.png and /elsewhere/b.png"] * 3


def test_changes_that_are_not_published_stay_while_nobody_else_changes_the_origin(system):
    folder = fetch(PHOTOS, changes=True)
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"mine", "c.png": b"c", "night/b.png": b"bb"}
    assert publish(PHOTOS) == ["a.png", "c.png"]


def test_a_publication_that_was_cut_in_the_middle_goes_on(system, monkeypatch):
    folder, upload = fetch(PHOTOS, changes=True), publishing.upload
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")

    def cut(store, name, file):
        if name == "c.png":
            raise OSError("cut")
        upload(store, name, file)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "upload", cut)
        with pytest.raises(OSError, match="cut"):
            publish(PHOTOS)
    assert system.cat("/bucket/photos/a.png") == b"mine"
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"mine", "c.png": b"c", "night/b.png": b"bb"}
    assert publish(PHOTOS) == ["a.png", "c.png"]
    assert publish(PHOTOS) == []


def test_a_file_written_at_an_address_is_published(system):
    with written("memory://bucket/out/table.csv") as path:
        path.write_text("a,b")
    assert system.cat("/bucket/out/table.csv") == b"a,b"


def test_a_file_written_in_a_copy_is_published_alone(system):
    (fetch(PHOTOS) / "other.txt").write_text("not published")
    with written(here(PHOTOS) / "new.txt") as path:
        path.write_text("new")
    assert system.exists("/bucket/photos/new.txt")
    assert not system.exists("/bucket/photos/other.txt")


def test_a_file_in_a_copy_that_may_only_be_read_stays_there_with_a_warning(system, monkeypatch):
    def denied(*_):
        raise ValueError("writing it is not permitted")

    fetch(PHOTOS)
    monkeypatch.setattr(publishing, "upload", denied)
    with pytest.warns(UserWarning, match="not published: writing it"), written(here(PHOTOS) / "new.txt") as path:
        path.write_text("new")
    with pytest.raises(ValueError, match="not permitted"), written("memory://bucket/new.txt") as path:
        path.write_text("new")


def test_what_lies_beside_the_copy_of_a_file_is_published_beside_its_origin(system):
    path = fetch("memory://bucket/maps/map.html", changes=True)
    path.write_text("map")
    path.with_suffix(".csv").write_text("table")
    (path.parent / "map_pictures").mkdir()
    (path.parent / "map_pictures" / "1.png").write_text("picture")
    publish("memory://bucket/maps/map.html")
    assert sorted(publish_beside("memory://bucket/maps/map.html")) == ["map.csv", "map_pictures/1.png"]
    assert [system.cat(f"/bucket/maps/{name}") for name in ("map.html", "map.csv", "map_pictures/1.png")] == [
        b"map",
        b"table",
        b"picture",
    ]
    assert publish_beside("memory://bucket/maps/map.html") == []
