"""The experiments and benchmarks, shrunk to seconds."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def script(name):
    sys.path.insert(0, str((ROOT / "experiments" / name).parent))  # as `python experiments/...` does
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "experiments" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("splits", [False, True])
def test_digits_lenet5_tabulates_every_seed(splits, tmp_path, capsys):
    table = script("digits_lenet5.py").main(seeds=2, splits=splits, runs=tmp_path, epochs=1)
    assert len(table["accuracy"]) == 2
    assert "mean ± standard deviation" in capsys.readouterr().out


def test_dropout_kinds_compares_three(tmp_path, capsys):
    tables = script("dropout_kinds.py").main(seeds=1, runs=tmp_path, number=64, epochs=1, data="digits")
    assert list(tables) == ["none", "element", "spatial"]


@pytest.mark.parametrize("name", ["mnist_dense.py", "mnist_lenet5.py"])
def test_the_mnist_experiments_tabulate_their_seeds(name, tmp_path, monkeypatch, capsys):
    import cnnlab

    monkeypatch.setitem(cnnlab.data.SOURCES, "mnist", lambda: cnnlab.data.digits())
    table = script(name).main(seeds=1, runs=tmp_path, epochs=1)
    assert set(table) >= {"accuracy", "nll", "MC accuracy", "MC mutual_information"}


def test_the_train_step_benchmark_prints_rows_with_a_ratio(capsys):
    script("benchmarks/train_step.py").main(json_only=True, rounds=1, repeats=1, peers=False)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert set(row["ms"]) == {"cnnlab", "flax"}


def test_the_augmentation_benchmark_prints_rows_with_a_ratio(capsys):
    script("benchmarks/augmentation.py").main(json_only=True, rounds=1, repeats=1, batch=2, size=32)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "cnnlab" in row["ms"]
    assert ("albumentations" in row["ms"]) == (row["ratio"] is not None)


def test_the_transposed_convolution_benchmark_compares_every_way(capsys):
    script("benchmarks/transposed_convolution.py").main(
        json_only=True, rounds=1, repeats=1, batch=1, size=2, channels=4
    )
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert {"cnnlab", "zeros", "matrix", "matrix, ready"} <= set(row["ms"])
    assert row["ratio"] > 0


def test_the_classical_filters_are_drawn_on_a_photo_beside_each_other(tmp_path, capsys):
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).save(photo)
    module = script("classical_filters.py")
    assert Image.open(module.main(photo, output=tmp_path / "out" / "filters.png")).size[0] == 1920
    shown = module.panels(module.load_photo(photo))
    assert {name: image.shape[:2] for name, image in shown.items()} == dict.fromkeys(shown, (40, 60))
    assert len(shown) == 8
    assert module.load_photo(None).shape == (320, 480, 3)


def test_every_command_of_the_readme_names_what_exists():
    import cnnlab
    from cnnlab.training.presets import PRESETS

    text = (ROOT / "README.md").read_text()
    for preset in re.findall(r'presets\.get\("([^"]+)"\)|cnnlab train ([a-z][a-z0-9-]+)', text):
        assert "".join(preset) in PRESETS
    for name in re.findall(r"\bcnnlab\.([a-zA-Z_]+)\(", text):
        assert hasattr(cnnlab, name), name
    for path in re.findall(r"experiments/[a-z_0-9/]+\.py", text):
        assert (ROOT / path).exists(), path
