"""Fixtures of all tests: the folder of larger data, and a small trained run."""

import atexit
import dataclasses
import json
import os
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path

PLATFORM = os.environ.get("CNNLAB_TEST_PLATFORM", "cpu")
# What the tests expect of a CPU holds on an accelerator by two rules: float32 products are not rounded to TF32 or
# bfloat16, and a GPU adds in a fixed order and chooses its kernels without timing them.
EXACT = {"JAX_PLATFORMS": f"{PLATFORM},cpu", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
SETTINGS = {
    # Tests compile much and compute little, so they are faster without LLVM's optimisations. `XLA_FLAGS= pytest`
    # switches the optimisations on.
    "cpu": {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"},
    "cuda": EXACT | {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
}
if PLATFORM != "cpu":
    os.environ.pop("JAX_PLATFORMS", None)
for name, value in SETTINGS.get(PLATFORM, EXACT).items():
    os.environ.setdefault(name, value)
# Tests compile the same small programs many times. One cache folder serves all workers and subprocesses.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="cnnlab-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest

import cnnlab

SHARED = Path(__file__).parents[2] / "shared" / "data"


MAPS = Path("/proc/self/maps")
MOST_MAPS = 30_000


def pytest_collection_modifyitems(items):
    """Skips the tests that hold on a CPU alone, each by the reason of its marker, where another platform is tested."""
    for item in items if PLATFORM != "cpu" else ():
        if marker := item.get_closest_marker("cpu_only"):
            item.add_marker(pytest.mark.skip(reason=f"on a CPU only: {marker.args[0]}"))


@pytest.fixture(autouse=True, scope="module")
def few_mappings():
    """Drops the compiled programs of a process with many memory mappings; Linux ends it by a signal at 65,530."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def goldens():
    """Reads reference numbers of other libraries."""
    return json.loads((Path(__file__).parent / "goldens" / "torch.json").read_text())


@pytest.fixture(scope="session")
def shared():
    """Returns the folder of larger datasets beside a checkout, or skips the test if it is missing."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def unexplained():
    """Returns a function that lists the names in a report that `docs/numbers.md` does not explain."""
    text = (Path(__file__).parents[1] / "docs" / "numbers.md").read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])

    def names(kind: str, report: dict) -> set[str]:
        rows = re.findall(r"^\| (`.*?`[^|]*) \|", sections["Always"] + sections[kind], re.MULTILINE)
        patterns = [name for row in rows for name in re.findall("`(.*?)`", row)]
        errors, ends = ("ece_mass", "mce", "classwise_ece"), ("low", "high", "floor")
        patterns += [f"{name}_{end}" for name in errors for end in ends]
        return {name for name in report if not any(fnmatch(name, pattern) for pattern in patterns)}

    return names


@pytest.fixture(scope="module")
def chromium():
    """Starts Chromium for one file of tests, or skips them if it or playwright is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def small():
    """Returns an experiment that trains in seconds: LeNet5 with dropout on 16x16 shapes, one epoch."""
    return cnnlab.Experiment(
        model=cnnlab.Choice("lenet5", dropout=0.5),
        data=cnnlab.Choice("shapes", size=16, train=96, validation=32, test=40),
        optimizer=cnnlab.Optimizer(learning_rate=3e-3),
        training=cnnlab.Training(epochs=1, batch_size=32),
    )


@pytest.fixture(scope="session")
def run(small, tmp_path_factory):
    """Trains the experiment `small` and returns its run directory."""
    path = tmp_path_factory.mktemp("runs") / "small"
    cnnlab.train(small, path, quiet=True)
    return path


def epochs(experiment, number):
    """Returns the same experiment with another number of epochs."""
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, epochs=number))


@pytest.fixture
def memory_store(monkeypatch, tmp_path):
    """Returns fsspec's file system in memory, empty, for memory:// addresses; copies are in a folder of the test."""
    import fsspec

    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def reads(memory_store, monkeypatch):
    """Returns the list of objects of `memory_store` that are read."""
    names, method = [], type(memory_store).get_file

    def get_file(self, path, *arguments, **options):
        names.append(path)
        return method(self, path, *arguments, **options)

    monkeypatch.setattr(type(memory_store), "get_file", get_file)
    return names
