import subprocess
import sys

import pytest

from cnnlab.runtime import memory

PIECES = """
from cnnlab.runtime.memory import freed, resident
with freed():
    pieces = [bytes(2000) for _ in range(100_000)]  # 200 MB
    full, kept = resident(), pieces[::1000]  # what is kept lies between what is freed
    del pieces
print(full - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of a process")
def test_memory_between_pieces_that_stay_goes_back_to_the_system():
    out = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True).stdout
    assert int(out) > 150_000_000


def test_nothing_is_searched_if_the_process_did_not_grow(monkeypatch):
    monkeypatch.setattr(memory, "resident", lambda: 1)
    monkeypatch.setattr(memory.gc, "collect", lambda: pytest.fail("searched"))
    with memory.freed():
        pass


def test_a_system_that_does_not_tell_its_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "resident", lambda: None)
    with memory.freed():
        pass
