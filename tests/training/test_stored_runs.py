"""Runs of an earlier version give the numbers that it stored, with the compiler options of the tests."""

import json
import shutil
from pathlib import Path

import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.files.strict_json import without_nan

RUNS = Path(__file__).parents[1] / "goldens" / "stored_runs"
KINDS = ("classification", "regression", "segmentation", "detection")
TIMES = ("seconds", "passes_equivalent")


def flat(value, path=""):
    """Flattens a JSON value to its numbers and texts by their path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {path: value}
    return {place: leaf for key, item in items for place, leaf in flat(item, f"{path}/{key}").items()}


def assert_same(report, stored):
    report, stored = flat(report), flat(stored)
    assert report.keys() == stored.keys()
    numbers = {place for place, value in stored.items() if isinstance(value, int | float)}
    # Other processors round sums differently, in the last digits of float32.
    assert {p: report[p] for p in numbers} == pytest.approx({p: stored[p] for p in numbers}, rel=1e-4, abs=1e-5)
    assert {p: report[p] for p in report.keys() - numbers} == {p: stored[p] for p in stored.keys() - numbers}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("file", "passes"), [("one_pass", None), ("five_passes", 5)])
def test_a_run_of_an_earlier_version_evaluates_to_the_same_digits(kind, file, passes):
    stored = json.loads((RUNS / kind / f"{file}.json").read_text())
    report = without_nan(cnnlab.evaluate(RUNS / kind, mc_samples=passes, details=True))
    names = stored.keys() - set(TIMES)  # a later version may add numbers
    assert_same(*({name: part.get(name) for name in names} for part in (report, stored)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_an_earlier_version_predicts_the_same_records(kind, capsys, monkeypatch):
    monkeypatch.chdir(RUNS)
    stored = json.loads((RUNS / kind / "prediction.json").read_text())
    assert main(["predict", kind, f"{kind}/example.png"]) == 0
    assert_same(json.loads(capsys.readouterr().out), stored)


def test_a_run_of_an_earlier_version_is_extended(tmp_path):
    shutil.copytree(RUNS / "classification", tmp_path / "run")
    command = json.loads((RUNS / "classification" / "experiment.json").read_text())
    command["training"]["epochs"] = 2
    trained = cnnlab.train(cnnlab.Experiment.from_json(command), tmp_path / "run", quiet=True)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [1, 2]
    assert trained.network.features == (8,)
