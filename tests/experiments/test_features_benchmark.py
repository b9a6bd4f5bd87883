"""The benchmark of feature visualisation, shrunk to seconds."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "experiments" / "benchmarks"))


@pytest.fixture(scope="module")
def benchmark():
    return importlib.import_module("features")


def test_it_prints_a_warm_and_a_cold_row(benchmark, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    benchmark.main(json_only=True, units=2, side=16, steps=2, warm_steps=1, rounds=1)
    warm, cold = json.loads(capsys.readouterr().out)["rows"]
    assert warm["name"] == "2 units at 16x16, 1 steps, one thread, warm"
    assert cold["ms"]["cnnlab"] > warm["ms"]["cnnlab"] > 0
    assert (warm["ratio"] is None) == (importlib.util.find_spec("lucent") is None)


def test_the_twin_computes_what_cnnlabs_network_computes(benchmark):
    torch = pytest.importorskip("torch", reason="the twin needs torch, of the peers")
    trained, twin = benchmark.trained_network(16), benchmark.torch_network(16)
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    own = trained.network.apply(trained.variables, images)
    np.testing.assert_allclose(own, twin(torch.tensor(images.transpose(0, 3, 1, 2))), atol=1e-5)
