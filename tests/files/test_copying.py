"""Copies of folders elsewhere: what is read again, and what stays."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from cnnlab.files import copying
from cnnlab.files.cache import address, here
from cnnlab.files.copying import fetch, local
from cnnlab.files.publishing import written

PHOTOS = "memory://bucket/photos"


@pytest.fixture
def system(memory_store):
    """Returns fsspec's file system in memory with two photos; the cache is a folder of the test."""
    memory_store.pipe({"/bucket/photos/a.png": b"a", "/bucket/photos/night/b.png": b"bb"})
    return memory_store


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_has_the_name_and_the_files_of_its_origin(system):
    assert local(PHOTOS).name == "photos"
    assert files(local(PHOTOS)) == {"a.png": b"a", "night/b.png": b"bb"}


def test_a_single_object_becomes_a_file(system):
    assert local(f"{PHOTOS}/night/b.png").read_bytes() == b"bb"


def test_only_changed_objects_are_read_again(system, reads):
    fetch(PHOTOS)
    system.pipe("/bucket/photos/a.png", b"new")
    del reads[:]
    assert files(fetch(PHOTOS))["a.png"] == b"new"
    assert reads == ["/bucket/photos/a.png"]


def test_a_file_that_was_damaged_in_the_cache_is_read_again(system):
    (fetch(PHOTOS) / "a.png").write_bytes(b"damaged")
    assert (fetch(PHOTOS) / "a.png").read_bytes() == b"a"


def test_an_object_that_is_gone_is_deleted_here_with_its_empty_folder(system):
    fetch(PHOTOS)
    system.rm("/bucket/photos/night/b.png")
    folder = fetch(PHOTOS)
    assert [path.name for path in folder.rglob("*")] == ["a.png"]


def test_a_damaged_record_makes_everything_be_read_again(system, reads):
    (fetch(PHOTOS).parent / "copy.json").write_text("{")
    del reads[:]
    fetch(PHOTOS)
    assert len(reads) == 2


def test_an_interrupted_copy_goes_on_with_what_is_missing(system, reads, monkeypatch):
    download = copying.download

    def cut(store, name, *rest):
        if name == "night/b.png":
            raise OSError("cut")
        download(store, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(copying, "download", cut)
        with pytest.raises(OSError, match="cut"):
            fetch(PHOTOS)
    del reads[:]
    fetch(PHOTOS)
    assert reads == ["/bucket/photos/night/b.png"]


def test_hidden_objects_are_not_copied(system):
    system.pipe({"/bucket/photos/.lock/1": b"x", "/bucket/photos/.DS_Store": b"x"})
    assert set(files(fetch(PHOTOS))) == {"a.png", "night/b.png"}


def test_a_folder_that_became_a_file_is_replaced(system):
    fetch(PHOTOS)
    system.rm("/bucket/photos", recursive=True)
    system.pipe("/bucket/photos", b"now a file")
    assert fetch(PHOTOS).read_bytes() == b"now a file"


def test_a_copy_that_the_disk_cannot_hold_is_refused_before_it_begins(system, reads, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2))
    with pytest.raises(OSError, match=r"needs .* GB and the disk .*CNNLAB_CACHE"):
        fetch(PHOTOS)
    assert not reads


def test_the_origin_wins_over_changes_here_if_another_machine_changed_it(system):
    folder = fetch(PHOTOS, changes=True)
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")
    system.pipe("/bucket/photos/night/b.png", b"theirs")
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"a", "night/b.png": b"theirs"}


def test_a_place_to_be_written_may_be_missing_and_one_to_be_read_may_not(system):
    assert not fetch("memory://bucket/new", changes=True).exists()
    with pytest.raises(ValueError, match="memory://bucket/new does not exist"):
        fetch("memory://bucket/new")


@pytest.fixture
def web(system, tmp_path):
    """Serves a folder with the file a.txt on the loopback and returns its address."""
    pytest.importorskip("aiohttp", reason="needs aiohttp")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "a.txt").write_text("a")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "web"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_file_of_a_web_server_is_copied_and_a_missing_one_is_named_without_its_query(web):
    assert local(f"{web}/a.txt?key=1b2c").read_text() == "a"
    with pytest.raises(ValueError, match="/b.txt does not exist") as raised:
        local(f"{web}/b.txt?key=1b2c")
    assert "1b2c" not in str(raised.value)


def test_files_that_another_process_writes_stay_in_a_shared_copy(system):
    system.pipe("/bucket/out/a.png", b"a")
    folder = fetch("memory://bucket/out", changes=True, shared=True)
    (folder / "b.png").write_bytes(b"b")
    system.pipe("/bucket/out/a.png", b"theirs")
    fetch("memory://bucket/out", changes=True, shared=True)
    assert (folder / "a.png").read_bytes() == b"theirs"
    assert (folder / "b.png").read_bytes() == b"b"


def test_a_local_path_stays_as_it_is(tmp_path):
    with written(tmp_path / "a") as path:
        assert path == tmp_path / "a"
    assert (local("a/b"), here("file:///a"), address("a/b")) == (Path("a/b"), Path("/a"), "a/b")


def test_a_web_server_is_only_read(web):
    with pytest.raises(ValueError, match="its store only reads"), written(f"{web}/new.txt") as path:
        path.write_text("new")
