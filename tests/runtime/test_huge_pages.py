"""A restart with large pages: on a CPU of a few cores alone."""

import pytest

from cnnlab.runtime.huge_pages import helps

FEW = {"cores": 4, "accelerator": False}


@pytest.mark.parametrize(
    ("setting", "environment", "machine", "restarts"),
    [
        ("always [madvise] never", {}, FEW, True),
        ("[always] madvise never", {}, FEW, False),
        ("", {}, FEW, False),
        ("always [madvise] never", {"GLIBC_TUNABLES": "glibc.malloc.check=3"}, FEW, False),
        ("always [madvise] never", {}, FEW | {"cores": 5}, False),
        ("always [madvise] never", {}, FEW | {"accelerator": True}, False),
        ("always [madvise] never", {"JAX_PLATFORMS": "cuda,cpu"}, FEW, False),
        ("always [madvise] never", {"JAX_PLATFORMS": "tpu"}, FEW, False),
        ("always [madvise] never", {"JAX_PLATFORMS": "cpu"}, FEW | {"accelerator": True}, True),
        ("always [madvise] never", {"JAX_PLATFORMS": ""}, FEW | {"accelerator": True}, False),
    ],
)
def test_a_restart_helps_on_a_cpu_of_few_cores_where_large_pages_are_granted(setting, environment, machine, restarts):
    assert helps(setting, environment, **machine) == restarts
