"""What tests share: where the larger data lies, and one small trained run."""

import atexit
import dataclasses
import json
import os
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile much and compute little: without LLVM's optimisations they take half the time.
# `XLA_FLAGS= pytest` runs them with.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Tests compile the same small programs again and again. One folder keeps them all, for all workers and subprocesses.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="cnnlab-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import pytest

import cnnlab

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def goldens():
    """Other libraries' numbers."""
    return json.loads((Path(__file__).parent / "goldens" / "torch.json").read_text())


@pytest.fixture(scope="session")
def shared():
    """The folder of larger data sets that lies beside a checkout, where it does."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def unexplained():
    """The function from a kind of task and a report to the names that `docs/numbers.md` does not explain."""
    text = (Path(__file__).parents[1] / "docs" / "numbers.md").read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])

    def names(kind: str, report: dict) -> set[str]:
        rows = re.findall(r"^\| (`.*?`[^|]*) \|", sections["Always"] + sections[kind], re.MULTILINE)
        told = [name for row in rows for name in re.findall("`(.*?)`", row)]
        told += [f"{name}_{end}" for name in ("ece_mass", "mce", "classwise_ece") for end in ("low", "high", "floor")]
        return {name for name in report if not any(fnmatch(name, one) for one in told)}

    return names


@pytest.fixture(scope="session")
def small():
    """An experiment of seconds: LeNet5 with dropout on 16x16 shapes, one epoch."""
    return cnnlab.Experiment(
        model=cnnlab.Choice("lenet5", dropout=0.5),
        data=cnnlab.Choice("shapes", size=16, train=96, validation=32, test=40),
        optimizer=cnnlab.Optimizer(learning_rate=3e-3),
        training=cnnlab.Training(epochs=1, batch_size=32),
    )


@pytest.fixture(scope="session")
def run(small, tmp_path_factory):
    """The directory of `small`, trained."""
    path = tmp_path_factory.mktemp("runs") / "small"
    cnnlab.train(small, path, quiet=True)
    return path


def epochs(experiment, number):
    """The same experiment for so many epochs."""
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, epochs=number))
