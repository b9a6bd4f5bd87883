"""The settings by which the tests run on an accelerator; they start no device here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import conftest
import pytest

NAMES = ("JAX_PLATFORMS", "JAX_DEFAULT_MATMUL_PRECISION", "XLA_FLAGS")


def settings(platform, **variables):
    """Returns the environment that the tests set for a platform."""
    code = f"import conftest, json, os; print(json.dumps([os.environ.get(name) for name in {NAMES}]))"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | variables
    environment |= {"CNNLAB_TEST_PLATFORM": platform, "PYTHONPATH": os.pathsep.join(sys.path)}
    folder = Path(conftest.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, check=True)
    return json.loads(done.stdout)


def test_a_gpu_multiplies_without_tf32_and_adds_in_a_fixed_order_also_where_the_environment_asks_for_the_cpu():
    assert settings("cuda", JAX_PLATFORMS="cpu") == ["cuda,cpu", "highest", "--xla_gpu_deterministic_ops=true"]


def test_a_cpu_keeps_its_own_settings_and_what_the_environment_asks_for():
    assert settings("cpu", XLA_FLAGS="") == ["cpu", None, ""]


@pytest.mark.parametrize(("platform", "reasons"), [("cpu", []), ("cuda", ["on a CPU only: it reads its program"])])
def test_a_test_that_holds_on_a_cpu_alone_is_skipped_by_its_reason_elsewhere(platform, reasons, monkeypatch):
    marker, skipped = SimpleNamespace(args=("it reads its program",)), []
    items = [
        SimpleNamespace(get_closest_marker=lambda name: marker, add_marker=skipped.append),
        SimpleNamespace(get_closest_marker=lambda name: None, add_marker=skipped.append),
    ]
    monkeypatch.setattr(conftest, "PLATFORM", platform)
    conftest.pytest_collection_modifyitems(items)
    assert [mark.kwargs["reason"] for mark in skipped] == reasons
