"""Objects of a store: tries after a cut connection, and errors that name the object."""

import errno

import fsspec
import pytest

from cnnlab.files import store
from cnnlab.files.store import Missing, Object, connect, create, delete, download, objects, read, upload


@pytest.fixture
def system(memory_store, monkeypatch):
    """Returns fsspec's file system in memory, empty, with two objects below memory://bucket/photos."""
    monkeypatch.setattr(store, "PAUSES", (0.0, 0.0))
    memory_store.pipe({"/bucket/photos/a.png": b"a", "/bucket/photos/night/b.png": b"bb"})
    return memory_store


def failing(monkeypatch, system, name, errors):
    """Lets a method of the file system raise errors first, one a call."""
    left, method = list(errors), getattr(system, name)

    def call(*arguments, **options):
        if left:
            raise left.pop(0)
        return method(*arguments, **options)

    monkeypatch.setattr(type(system), name, lambda _, *arguments, **options: call(*arguments, **options))
    return left


def test_a_listing_has_names_relative_to_the_address_and_sizes(system):
    found = objects(connect("memory://bucket/photos"))
    assert {name: each.size for name, each in found.items()} == {"a.png": 1, "night/b.png": 2}


def test_a_single_object_has_the_empty_name(system):
    assert list(objects(connect("memory://bucket/photos/a.png"))) == [""]


def test_the_mark_of_an_object_changes_when_it_is_written_again(system):
    before = objects(connect("memory://bucket/photos"))
    system.pipe("/bucket/photos/a.png", b"c")
    after = objects(connect("memory://bucket/photos"))
    assert [name for name in before if before[name] != after[name]] == ["a.png"]


def test_an_object_is_marked_by_its_tag_and_its_time():
    info = {"ETag": '"1b"', "LastModified": "2026-01-02", "created": "2020"}
    assert Object(3, store._mark(info)) == Object(3, '"1b" 2026-01-02')


def test_a_connection_that_is_cut_twice_is_tried_again(system, monkeypatch, tmp_path):
    left = failing(monkeypatch, system, "get_file", [ConnectionResetError(), TimeoutError()])
    download(connect("memory://bucket/photos"), "a.png", tmp_path / "a.png", 1)
    assert (tmp_path / "a.png").read_bytes() == b"a"
    assert not left


def test_a_connection_that_is_cut_every_time_names_the_object_and_what_to_do(system, monkeypatch, tmp_path):
    failing(monkeypatch, system, "get_file", [ConnectionResetError("reset by peer")] * 9)
    with pytest.raises(OSError, match=r"memory://bucket/photos/a.png: reading it failed 3 times .*reset.*same command"):
        download(connect("memory://bucket/photos"), "a.png", tmp_path / "a.png", 1)


def test_an_object_that_comes_cut_short_is_not_taken_for_whole(system, tmp_path):
    with pytest.raises(OSError, match="1 of 5 bytes came"):
        download(connect("memory://bucket/photos"), "a.png", tmp_path / "a.png", 5)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("Access Denied"), "memory://bucket/photos/a.png: reading it is not permitted.*Access Denied"),
        (FileNotFoundError("x"), "memory://bucket/photos/a.png does not exist"),
        (NotImplementedError(), "its store only reads"),
        (OSError(errno.EINVAL, "The specified bucket is not valid."), "was refused.*not valid"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate"), "no credentials.*FSSPEC_S3_ANON"),
    ],
)
def test_a_fault_that_lasts_is_told_at_once(system, monkeypatch, error, message):
    left = failing(monkeypatch, system, "cat_file", [error, error])
    with pytest.raises(ValueError, match=message):
        read(connect("memory://bucket/photos"), "a.png")
    assert len(left) == 1


def test_a_mistake_of_the_program_is_not_tried_again(system, monkeypatch):
    left = failing(monkeypatch, system, "cat_file", [TypeError("x"), TypeError("y")])
    with pytest.raises(TypeError, match="x"):
        read(connect("memory://bucket/photos"), "a.png")
    assert len(left) == 1


def test_no_error_repeats_a_signature_or_a_password(system, monkeypatch):
    text = "403 for https://me:secret@host/a.png?X-Amz-Signature=1b2c"
    failing(monkeypatch, system, "cat_file", [PermissionError(text)])
    with pytest.raises(ValueError, match="host/a.png") as raised:
        read(connect("memory://bucket/photos"), "a.png")
    assert "secret" not in str(raised.value)
    assert "1b2c" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_an_object_is_created_only_once(system):
    place = connect("memory://bucket/lock")
    assert [create(place, "1", b"x"), create(place, "1", b"y"), read(place, "1")] == [True, False, b"x"]


def test_an_object_is_deleted_once_and_nothing_happens_the_second_time(system):
    place = connect("memory://bucket/photos")
    delete(place, "a.png")
    delete(place, "a.png")
    assert list(objects(place)) == ["night/b.png"]


def test_bytes_and_files_become_objects(system, tmp_path):
    (tmp_path / "c").write_bytes(b"from a file")
    place = connect("memory://bucket/new")
    upload(place, "c", tmp_path / "c")
    upload(place, "d", b"bytes")
    assert (read(place, "c"), read(place, "d")) == (b"from a file", b"bytes")


def test_what_is_not_there_is_missing(system):
    with pytest.raises(Missing, match="memory://nil does not exist"):
        objects(connect("memory://nil"))


def test_an_object_that_would_lead_out_of_its_folder_is_refused(system):
    system.store["/bucket/photos/../../etc"] = system.store["/bucket/photos/a.png"]
    with pytest.raises(ValueError, match=r"'\.\./\.\./etc'.*rename"):
        objects(connect("memory://bucket/photos"))


def test_an_object_that_is_a_folder_too_is_refused(system):
    system.store["/bucket/photos/night"] = system.store["/bucket/photos/a.png"]
    with pytest.raises(ValueError, match="memory://bucket/photos has an object 'night' and others below it"):
        objects(connect("memory://bucket/photos"))


def test_an_unknown_scheme_names_similar_ones():
    with pytest.raises(ValueError, match="unknown scheme 'gss'; did you mean 'gs'"):
        connect("gss://bucket")


def test_a_store_without_its_package_names_the_extra(monkeypatch):
    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", absent)
    with pytest.raises(ValueError, match=r's3:// needs the extra remote: pip install "cnnlab\[remote\]"'):
        connect("s3://bucket")


def azure_error(status):
    kind = type("HttpResponseError", (Exception,), {"__module__": "azure.core.exceptions", "status_code": status})
    return kind("Operation returned an invalid status")


def test_azure_that_refuses_the_credentials_is_one_clear_error(system, monkeypatch):
    failing(monkeypatch, system, "cat_file", [azure_error(403)])
    with pytest.raises(ValueError, match="memory://bucket/photos/a.png: reading it is not permitted"):
        read(connect("memory://bucket/photos"), "a.png")


def test_a_connection_to_azure_is_not_tried_again_because_its_client_did(system, monkeypatch):
    left = failing(monkeypatch, system, "cat_file", [azure_error(None), azure_error(None)])
    with pytest.raises(OSError, match=r"a.png: reading it failed \(Operation .*check the network"):
        read(connect("memory://bucket/photos"), "a.png")
    assert len(left) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("adlfs"), r'pip install "cnnlab\[azure\]"'),
        (ValueError("no account"), "no credentials.*AZURE_STORAGE"),
    ],
)
def test_azure_without_its_package_or_credentials_says_what_to_do(monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(fsspec, "url_to_fs", fail)
    with pytest.raises(ValueError, match=words):
        connect("az://bucket/run")
