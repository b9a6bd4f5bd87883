"""A restart with large pages: on a CPU of a few cores alone."""

import os

import pytest

from cnnlab import cli
from cnnlab.__main__ import main as program
from cnnlab.runtime import huge_pages
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


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Returns a machine of two cores that grants large pages on request: its folder of devices, and its restarts."""
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    (tmp_path / "dev").mkdir()
    restarts = []
    monkeypatch.setattr(huge_pages, "_SETTING", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "_ACCELERATORS", (f"{tmp_path}/dev/nvidia[0-9]*",))
    monkeypatch.setattr(huge_pages, "_cores", lambda: 2)
    monkeypatch.setattr(os, "execve", lambda path, arguments, environment: restarts.append(environment))
    monkeypatch.setattr(cli, "main", lambda: 0)
    for name in ("GLIBC_TUNABLES", "JAX_PLATFORMS", "JAX_PLATFORM_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "dev", restarts


def test_the_program_starts_without_the_tunables_where_an_accelerator_is(machine):
    devices, restarts = machine
    (devices / "nvidia0").touch()
    assert program() == 0
    assert restarts == []
    assert "GLIBC_TUNABLES" not in os.environ


def test_the_program_restarts_with_the_tunables_where_none_is(machine):
    _, restarts = machine
    assert program() == 0
    assert [environment["GLIBC_TUNABLES"] for environment in restarts] == [huge_pages.TUNABLES]
