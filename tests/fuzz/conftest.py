"""Each reader meets some damaged files in the suite.

`HYPOTHESIS_PROFILE=long pytest tests/fuzz -n auto` tries thousands a reader, within a gigabyte and five seconds each.
"""

import os
import resource
from pathlib import Path

import hypothesis
import pytest

COMMON = {"deadline": 5000, "suppress_health_check": list(hypothesis.HealthCheck), "database": None}
hypothesis.settings.register_profile("suite", max_examples=40, derandomize=True, **COMMON)
hypothesis.settings.register_profile("long", max_examples=2000, **COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
GIGABYTE = 1 << 30


@pytest.fixture(autouse=True, scope="module")
def at_most_a_gigabyte():
    """In the long run, whatever asks for a gigabyte more than the process holds ends in a MemoryError."""
    if hypothesis.settings.get_current_profile_name() != "long":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIGABYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
