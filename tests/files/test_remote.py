"""Copies of folders elsewhere: what is read again, what is published, and what stays."""

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

from cnnlab.files import remote
from cnnlab.files.remote import address, fetch, here, is_address, local, publish, with_addresses, written

PHOTOS = "memory://bucket/photos"


@pytest.fixture
def system(memory_store):
    """Returns fsspec's file system in memory with two photos; the cache is a folder of the test."""
    memory_store.pipe({"/bucket/photos/a.png": b"a", "/bucket/photos/night/b.png": b"bb"})
    return memory_store


@pytest.fixture
def reads(system, monkeypatch):
    """Returns the list of objects that are read."""
    names, method = [], type(system).get_file

    def get_file(self, path, *arguments, **options):
        names.append(path)
        return method(self, path, *arguments, **options)

    monkeypatch.setattr(type(system), "get_file", get_file)
    return names


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "place", ["s3://bucket/a", "GS://bucket", Path("s3://bucket/a"), "memory:/bucket", "https://host/a.png?key=1"]
)
def test_an_address_is_known_even_as_a_path(place):
    assert is_address(place)


@pytest.mark.parametrize("place", ["photos", "/photos", "C:/photos", "file:///photos", "a:b", "nil:/a", 3, None])
def test_a_local_path_is_no_address(place):
    assert not is_address(place)


def test_a_file_whose_path_looks_like_a_collapsed_address_is_a_local_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert not is_address("s3:/bucket")


def test_a_path_gives_the_address_back():
    assert address(Path("S3://bucket//a/")) == "s3://bucket/a"


@pytest.mark.parametrize("place", ["https://me:secret@host/a", "ftp://me:secret@host/a", "https://secret@host/a"])
def test_an_address_with_a_password_is_refused_without_repeating_it(place):
    with pytest.raises(ValueError, match="holds a password") as raised:
        address(place)
    assert "secret" not in str(raised.value)


def test_an_address_that_climbs_out_of_its_folder_is_refused():
    with pytest.raises(ValueError, match=r"holds \. or \.\."):
        address("s3://bucket/../other")


def test_a_copy_has_the_name_and_the_files_of_its_origin(system):
    assert local(PHOTOS).name == "photos"
    assert files(local(PHOTOS)) == {"a.png": b"a", "night/b.png": b"bb"}


def test_other_users_cannot_read_a_copy(system):
    assert local(PHOTOS).parent.stat().st_mode & 0o077 == 0


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
    download = remote.download

    def cut(store, name, *rest):
        if name == "night/b.png":
            raise OSError("cut")
        download(store, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "download", cut)
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
    publish(PHOTOS, remove=True)
    assert not system.exists("/bucket/photos/a.png")


def test_objects_are_written_in_their_turn_and_deleted_in_the_opposite_one(system, monkeypatch):
    done = []
    monkeypatch.setattr(remote, "upload", lambda _, name, __: done.append(name))
    monkeypatch.setattr(remote, "delete", lambda _, name: done.append(f"-{name}"))
    folder = fetch(PHOTOS)
    for name in ("last.txt", "x.txt", "left_out.txt"):
        (folder / name).write_text("1")
    turns = {"last.txt": 1, "left_out.txt": None, "a.png": 1}
    shutil.rmtree(folder / "night")
    (folder / "a.png").unlink()
    publish(PHOTOS, lambda name: turns.get(name, 0), remove=True)
    assert done == ["x.txt", "last.txt", "-a.png", "-night/b.png"]


def test_a_published_text_names_the_address_instead_of_the_copy(system):
    folder = fetch(PHOTOS)
    (folder / "out.json").write_text(json.dumps({"file": str(folder / "a.png"), "other": "/elsewhere/b.png"}))
    publish(PHOTOS)
    text = system.cat("/bucket/photos/out.json").decode()
    assert json.loads(text) == {"file": "memory://bucket/photos/a.png", "other": "/elsewhere/b.png"}
    assert with_addresses(f"see {folder}/a.png") == "see memory://bucket/photos/a.png"
    assert address(folder / "a.png") == "memory://bucket/photos/a.png"


def test_changes_that_are_not_published_stay_while_nobody_else_changes_the_origin(system):
    folder = fetch(PHOTOS, changes=True)
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"mine", "c.png": b"c", "night/b.png": b"bb"}
    assert publish(PHOTOS) == ["a.png", "c.png"]


def test_the_origin_wins_over_changes_here_if_another_machine_changed_it(system):
    folder = fetch(PHOTOS, changes=True)
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")
    system.pipe("/bucket/photos/night/b.png", b"theirs")
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"a", "night/b.png": b"theirs"}


def test_a_publication_that_was_cut_in_the_middle_goes_on(system, monkeypatch):
    folder, upload = fetch(PHOTOS, changes=True), remote.upload
    (folder / "a.png").write_bytes(b"mine")
    (folder / "c.png").write_bytes(b"c")

    def cut(store, name, file):
        if name == "c.png":
            raise OSError("cut")
        upload(store, name, file)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "upload", cut)
        with pytest.raises(OSError, match="cut"):
            publish(PHOTOS)
    assert system.cat("/bucket/photos/a.png") == b"mine"
    assert files(fetch(PHOTOS, changes=True)) == {"a.png": b"mine", "c.png": b"c", "night/b.png": b"bb"}
    assert publish(PHOTOS) == ["a.png", "c.png"]
    assert publish(PHOTOS) == []


def test_a_place_to_be_written_may_be_missing_and_one_to_be_read_may_not(system):
    assert not fetch("memory://bucket/new", changes=True).exists()
    with pytest.raises(ValueError, match="memory://bucket/new does not exist"):
        fetch("memory://bucket/new")


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
    monkeypatch.setattr(remote, "upload", denied)
    with pytest.warns(UserWarning, match="not published: writing it"), written(here(PHOTOS) / "new.txt") as path:
        path.write_text("new")
    with pytest.raises(ValueError, match="not permitted"), written("memory://bucket/new.txt") as path:
        path.write_text("new")


def test_a_local_path_stays_as_it_is(tmp_path):
    with written(tmp_path / "a") as path:
        assert path == tmp_path / "a"
    assert (local("a/b"), here("file:///a"), address("a/b")) == (Path("a/b"), Path("/a"), "a/b")


def test_a_query_is_neither_in_the_record_nor_in_the_name(system, tmp_path):
    folder, _ = remote.begin("https://host/a.png?X-Amz-Signature=1b2c")
    assert folder.name == "a.png"
    assert "1b2c" not in (folder.parent / "copy.json").read_text()


def test_a_setting_that_is_stored_has_no_query():
    with pytest.raises(ValueError, match="data.path https://host/a.csv has a query") as raised:
        remote.check_lasting("https://host/a.csv?key=1b2c", "data.path")
    assert "1b2c" not in str(raised.value)


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


def test_a_web_server_is_only_read(web):
    with pytest.raises(ValueError, match="its store only reads"), written(f"{web}/new.txt") as path:
        path.write_text("new")


def test_files_that_another_process_writes_stay_in_a_shared_copy(system):
    system.pipe("/bucket/out/a.png", b"a")
    folder = remote.fetch("memory://bucket/out", changes=True, shared=True)
    (folder / "b.png").write_bytes(b"b")
    system.pipe("/bucket/out/a.png", b"theirs")
    remote.fetch("memory://bucket/out", changes=True, shared=True)
    assert (folder / "a.png").read_bytes() == b"theirs"
    assert (folder / "b.png").read_bytes() == b"b"
