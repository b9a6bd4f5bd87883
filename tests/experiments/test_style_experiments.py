"""The experiments on orthogonal convolutions and on content and style, shrunk to seconds."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnlab

FOLDER = Path(__file__).parents[2] / "experiments"


def script(name):
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def content_style():
    return script("content_style")


def test_orthogonal_compares_weights(tmp_path, monkeypatch, capsys):
    few = {split: examples[np.arange(96)] for split, examples in cnnlab.data.digits().splits.items()}
    source = cnnlab.data.Source(lambda: cnnlab.data.from_arrays(few))
    monkeypatch.setitem(cnnlab.data.SOURCES, "fashion_mnist", source)
    module = script("orthogonal")
    name = "small network"
    monkeypatch.setattr(module, "NETWORKS", {name: module.NETWORKS[name].replace(stages=((4,), (4, 4), (4, 4)))})
    tables = module.main(seeds=1, weights=(0.0, 1.0), output=tmp_path, number=64, epochs=2)
    spread = [tables[name, weight]["spread of singular values"][0] for weight in (0.0, 1.0)]
    assert spread[1] < spread[0]
    assert (tmp_path / "orthogonality.png").exists()


def test_content_style_asks_every_space_for_both_factors(content_style, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(content_style, "draw_planes", lambda *arguments: None)  # UMAP takes many seconds to import
    model = content_style.EXPERIMENT.model.replace(stages=((4,), (4,), (4,)))
    experiment = dataclasses.replace(content_style.EXPERIMENT, model=model)
    monkeypatch.setattr(content_style, "EXPERIMENT", experiment)
    tables = content_style.main(seeds=1, output=tmp_path, number=64, images=60, epochs=1)
    assert set(tables) == set(content_style.OWN)
    assert all(0 <= table[factor][0] <= 1 for table in tables.values() for factor in ("shape", "texture"))
    assert (tmp_path / "neighbours.png").exists()


def test_shape_and_texture_are_drawn_independently(content_style):
    images = content_style.draw(4000, 0)
    counts = np.histogram2d(images["shape"], images["texture"], bins=4)[0]
    assert abs(counts - 250).max() < 5 * np.sqrt(250)
    assert images["image"].shape == (4000, 32, 32, 1)


def test_a_space_that_knows_both_factors_is_not_disentangled(content_style):
    assert content_style.disentangled({"shape": 0.9, "texture": 0.9}, "shape") == 0
    assert content_style.disentangled({"shape": 0.25, "texture": 1.0}, "texture") == 1
