"""The lock that a store holds: one holder, who renews it, and a successor when it dies."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnnlab.files import lease as module
from cnnlab.files.lease import lease
from cnnlab.files.store import connect, create, objects

RUN = "memory://bucket/run"


@pytest.fixture
def system(memory_store, monkeypatch):
    """Returns fsspec's file system in memory, empty; a lock is renewed often."""
    monkeypatch.setattr(module, "RENEWAL", 0.1)
    return memory_store


def locks():
    return sorted(objects(connect(f"{RUN}/.lock"))) if connect(RUN).system.exists("/bucket/run/.lock") else []


def dead(owner):
    """Leaves the lock of a process that died."""
    assert create(connect(f"{RUN}/.lock"), "000001", module._content(f"{owner} {socket.gethostname()}"))


def test_a_lock_is_held_while_the_block_runs_and_gone_afterwards(system):
    with lease(RUN, owner="a") as check:
        check()
        assert locks() == ["000001"]
    assert locks() == []


def test_a_second_process_is_refused_as_soon_as_the_first_renews_its_lock(system):
    with lease(RUN, owner="a"):
        began = time.monotonic()
        with pytest.raises(ValueError, match="another process trains in memory://bucket/run"), lease(RUN, owner="b"):
            pass
        assert time.monotonic() - began < module.LEASE  # 90 s
        assert locks() == ["000001"]


def test_the_lock_of_a_dead_process_is_taken_over_after_the_lease(system, monkeypatch):
    monkeypatch.setattr(module, "LEASE", 1.0)
    dead("a")
    began = time.monotonic()
    with lease(RUN, owner="b"):
        assert time.monotonic() - began >= module.LEASE
        assert locks() == ["000002"]


def test_the_same_machine_takes_its_own_lock_at_once(system, monkeypatch):
    monkeypatch.setattr(module, "LEASE", 1000.0)
    dead("a")
    with lease(RUN, owner="a"):
        assert locks() == ["000002"]


def test_a_holder_who_lost_the_lock_may_write_no_more(system, monkeypatch):
    monkeypatch.setattr(module, "RENEWAL", 1000.0)  # as if the process had been suspended
    with lease(RUN, owner="a") as check:
        assert create(connect(f"{RUN}/.lock"), "000002", module._content("b"))
        monkeypatch.setattr(module, "LEASE", 0.0)
        with pytest.raises(ValueError, match="another process trains in .* now"):
            check()
    assert "000002" in locks()


def test_a_holder_that_was_cut_off_for_a_while_goes_on_if_nobody_took_the_lock(system, monkeypatch):
    monkeypatch.setattr(module, "RENEWAL", 1000.0)
    with lease(RUN, owner="a") as check:
        monkeypatch.setattr(module, "LEASE", 0.0)
        check()


def test_of_two_successors_only_one_takes_the_lock(system, monkeypatch):
    monkeypatch.setattr(module, "LEASE", 3.0)
    dead("a")
    refused = threading.Event()

    def succeed(owner):
        try:
            with lease(RUN, owner=owner):
                return "held" if refused.wait(60) else "alone"
        except ValueError as error:
            refused.set()
            return "another process trains" in str(error)

    with ThreadPoolExecutor() as pool:
        assert sorted(map(str, pool.map(succeed, "bc"))) == ["True", "held"]


@pytest.mark.parametrize("text", [b"{", b"[]"])
def test_a_damaged_lock_is_named(system, text):
    create(connect(f"{RUN}/.lock"), "000007", text)
    with pytest.raises(ValueError, match="memory://bucket/run/.lock/000007"), lease(RUN, owner="a"):
        pass


def test_a_store_without_exclusive_creation_is_refused():
    with (
        pytest.raises(ValueError, match=r"ftp://host/run cannot be a run: .* no lock; .*s3://"),
        lease("ftp://host/run", owner="a"),
    ):
        pass


def test_a_server_that_overwrites_what_was_to_be_created_is_refused(system, monkeypatch):
    monkeypatch.setattr(
        type(system), "pipe_file", lambda self, path, value, mode="overwrite": self.pipe({path: value}) or None
    )
    monkeypatch.setattr(type(system), "pipe", lambda self, both: [self.open(p, "wb").write(v) for p, v in both.items()])
    with pytest.raises(ValueError, match="its store overwrites an object"), lease(RUN, owner="a"):
        pass
