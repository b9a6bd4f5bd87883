"""The limit of the cache: which copies are deleted, and which stay."""

import subprocess
import sys

import pytest

from cnnlab.files import cache
from cnnlab.files.cache import here
from cnnlab.files.cache_limit import make_room
from cnnlab.files.copying import fetch

OLD, NEW = "memory://bucket/old", "memory://bucket/new"


@pytest.fixture
def copies(memory_store, monkeypatch):
    """Copies two folders of 600 bytes each, as a process that has ended; the limit is 1,500 bytes."""
    memory_store.pipe({f"/bucket/{name}/a.bin": bytes(600) for name in ("old", "new", "third")})
    monkeypatch.setenv("CNNLAB_CACHE_GB", "5e-6")
    monkeypatch.setattr(cache, "_use", lambda folder: None)
    return [fetch(OLD), fetch(NEW)]


def shrink_to(monkeypatch, size):
    monkeypatch.setenv("CNNLAB_CACHE_GB", str(size / 1e9))


def test_the_copy_that_was_not_used_for_the_longest_time_makes_room(copies, monkeypatch):
    shrink_to(monkeypatch, 2000)
    fetch("memory://bucket/third")
    assert [path.exists() for path in copies] == [False, True]
    assert (fetch(OLD) / "a.bin").stat().st_size == 600


def test_a_copy_that_is_read_again_is_used(copies, monkeypatch):
    fetch(OLD)
    shrink_to(monkeypatch, 2000)
    fetch("memory://bucket/third")
    assert [path.exists() for path in copies] == [True, False]


def test_without_a_limit_nothing_is_deleted(copies, monkeypatch):
    monkeypatch.delenv("CNNLAB_CACHE_GB")
    make_room(10**15)
    assert all(path.exists() for path in copies)


def test_a_copy_that_a_running_process_uses_stays(copies, monkeypatch):
    program = (
        "from pathlib import Path; import sys; from cnnlab.files import cache\n"
        "with cache.held(Path(sys.argv[1])): pass\n"
        "print('used', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(copies[0].parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "used\n"
        shrink_to(monkeypatch, 0)
        make_room(1)
        assert [path.exists() for path in copies] == [True, False]
        process.communicate("")
    make_room(1)
    assert not copies[0].exists()


@pytest.mark.parametrize("name", ["results.json", "night/.partial/rows.npy"])
def test_a_copy_with_something_that_is_not_published_stays(copies, monkeypatch, name):
    (copies[0] / name).parent.mkdir(parents=True, exist_ok=True)
    (copies[0] / name).write_text("{}")
    shrink_to(monkeypatch, 0)
    make_room(1)
    assert [path.exists() for path in copies] == [True, False]


def test_a_copy_of_a_single_file_makes_room_too(copies, monkeypatch):
    file = fetch(f"{NEW}/a.bin")
    shrink_to(monkeypatch, 0)
    make_room(1)
    assert not file.exists()


@pytest.mark.parametrize("limit", ["ten", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_of_gigabytes_is_refused(copies, monkeypatch, limit):
    monkeypatch.setenv("CNNLAB_CACHE_GB", limit)
    with pytest.raises(ValueError, match="CNNLAB_CACHE_GB must be a number of gigabytes"):
        make_room(1)


def test_this_process_keeps_its_own_copies(memory_store, monkeypatch):
    memory_store.pipe({"/bucket/a/1": bytes(9), "/bucket/b/1": bytes(9)})
    fetch("memory://bucket/a")
    shrink_to(monkeypatch, 0)
    fetch("memory://bucket/b")
    assert (here("memory://bucket/a") / "1").exists()
