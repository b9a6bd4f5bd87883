"""The file of results, the pages written from it, and how experiments store their results."""

import datetime
import doctest
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
results = importlib.import_module("results")
ENTRIES = results.load()


@pytest.mark.parametrize("page", [results.README, results.PAGE], ids=lambda path: path.name)
def test_the_pages_are_what_the_results_generate(page):
    text = page.read_text()
    assert "<!-- results " in text
    assert results.fill(text, ENTRIES) == text, "run `python experiments/results.py`"


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(results) == (0, 3)


def test_every_group_has_its_section():
    assert re.findall(r"<!-- results (\w+) -->", results.PAGE.read_text()) == list(results.GROUPS)
    assert {entry["group"] for entry in ENTRIES} == set(results.GROUPS)


def test_every_entry_has_all_fields():
    for entry in ENTRIES:
        assert list(entry) in (list(results.FIELDS), [*results.FIELDS, "note"]), entry
        assert all(isinstance(entry[field], str) and entry[field] for field in ("name", "metric", "device", "command"))
        assert isinstance(entry["value"], int | float | list), entry
        assert entry["spread"] is None or entry["spread"] >= 0, entry
        assert entry["seeds"] is None or entry["seeds"] >= 1, entry
        datetime.date.fromisoformat(entry["date"])
    assert len({(entry["name"], entry["metric"], entry["device"]) for entry in ENTRIES}) == len(ENTRIES)


def test_every_command_names_a_script_or_a_command_of_cnnlab():
    from cnnlab.commands import COMMANDS

    for line in {entry["command"] for entry in ENTRIES}:
        program, name, *_ = shlex.split(line)
        assert (program == "python" and (ROOT / name).exists()) or (program == "cnnlab" and name in COMMANDS), line


def test_record_replaces_the_entry_of_the_same_name_metric_and_device(tmp_path):
    path = tmp_path / "results.json"
    options = {"command": "python experiments/mnist_dense.py", "group": "classification", "path": path}
    results.record("net", "accuracy", 0.9, spread=0.01, seeds=3, **options)
    results.record("net", "nll", 0.4, seeds=3, **options)
    other = results.load(path)[0] | {"device": "another processor"}
    path.write_text(json.dumps([other, *results.load(path)]))
    new = results.record("net", "accuracy", 0.912345, spread=0.00123, seeds=5, **options)
    assert results.load(path) == [other, new, results.load(path)[2]]
    assert (new["value"], new["spread"], new["seeds"]) == (0.9123, 0.0012, 5)
    assert new["date"] == datetime.date.today().isoformat()
    assert [entry["metric"] for entry in results.load(path)] == ["accuracy", "accuracy", "nll"]


def test_a_command_has_no_paths_of_this_machine(tmp_path):
    (tmp_path / "photo.png").touch()
    script = str(ROOT / "experiments" / "bccd_yolo.py")
    rest = ["--bccd", str(tmp_path), "--runs", "x", "--output=y", "--image", str(tmp_path / "photo.png"), "--record"]
    assert results.command([script, *rest]) == "python experiments/bccd_yolo.py --bccd DIR --image FILE"


def test_an_experiment_stores_its_results_only_if_it_is_asked_to(tmp_path, monkeypatch, capsys):
    import tyro

    digits, path = importlib.import_module("digits_lenet5"), tmp_path / "results.json"
    line = [
        "digits_lenet5.py",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--runs",
        str(tmp_path / "runs"),
        "--results",
        str(path),
    ]
    line[0] = str(ROOT / "experiments" / line[0])
    monkeypatch.setattr(sys, "argv", line)
    tyro.cli(digits.main)
    assert not path.exists()
    monkeypatch.setattr(sys, "argv", [*line, "--record"])
    table = tyro.cli(digits.main)
    entry = next(entry for entry in results.load(path) if entry["metric"] == "accuracy")
    assert entry["value"] == pytest.approx(table["accuracy"][0], abs=1e-4)
    assert entry["command"] == "python experiments/digits_lenet5.py --seeds 1 --epochs 1"
    assert (entry["name"], entry["seeds"], entry["spread"]) == ("digits, the fixed split", 1, None)


def test_a_benchmark_stores_its_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "benchmarks"))
    module, path = importlib.import_module("suppression"), tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", [module.__file__, "--batch", "2"])
    recording = results.Recording(record=True, results=path)
    module.main(batch=2, boxes=8, rounds=1, repeats=1, recording=recording)
    entry = results.load(path)[0]
    assert (entry["name"], entry["metric"]) == ("non-maximum suppression, 2 x 8 boxes", "cnnlab (ms)")
    assert (entry["group"], entry["seeds"]) == ("speed", None)
