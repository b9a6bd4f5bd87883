"""The benchmark of explanations, shrunk to seconds."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "experiments" / "benchmarks"))
SHORT = {"networks": ("LeNet5",), "batch": 2, "rounds": 1, "seconds": 0.0}


@pytest.fixture(scope="module")
def benchmark():
    return importlib.import_module("explain")


def test_it_prints_a_row_a_method_and_one_of_the_verdict(benchmark, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    options = {"methods": ("saliency", "grad_cam"), "scores": ("deletion",), "peers": False}
    benchmark.main(json_only=True, **options, **SHORT)
    *maps, verdict = json.loads(capsys.readouterr().out)["rows"]
    assert [one["name"] for one in maps] == ["saliency, LeNet5", "grad cam, LeNet5"]
    assert all(one["ratio"] is None and one["ms"]["cnnlab"] > 0 for one in maps)
    assert verdict["images"] == 4


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("captum", "pytorch_grad_cam"))), reason="needs captum and pytorch-grad-cam"
)
def test_each_method_is_compared_with_the_library_that_has_it(benchmark, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    benchmark.main(json_only=True, scores=(), **SHORT)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == len(benchmark.METHODS_OF["cnnlab"])
    assert all(len(one["ms"]) == 2 and one["ratio"] > 0 for one in rows)


def test_the_twins_have_the_parameters_and_the_layer_of_cnnlabs_networks(benchmark):
    pytest.importorskip("torch", reason="the twins need torch, of the peers")
    import jax
    import torch

    from cnnlab.explain.taps import find_layer

    for case in benchmark.CASES.values():
        case = case._replace(batch=1)
        twin, images, _ = benchmark._torch_case(case)
        trained = benchmark.trained_network(case)
        own = sum(leaf.size for leaf in jax.tree.leaves(trained.variables["params"]))
        assert own == sum(leaf.numel() for leaf in twin.parameters())
        with torch.no_grad():
            shape = twin[: len(twin) + case.layer + 1 if case.layer < 0 else case.layer + 1](images).shape
        assert find_layer(trained).shape == tuple(shape[i] for i in (0, 2, 3, 1))
