import csv
import dataclasses
import json

import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.evaluation.compare import compare

SMALL = [f"--data.{name}" for name in ("name=shapes", "size=16", "train=64", "validation=16", "test=20")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs that differ in the number of epochs."""
    folder = tmp_path_factory.mktemp("pair")
    for name, epochs in (("short", "1"), ("long", "6")):
        options = ["--training.epochs", epochs, "--run-dir", str(folder / name)]
        assert main(["train", "digits-linear", *SMALL, *options]) == 0
    return folder / "short", folder / "long"


def test_the_differences_are_those_of_the_reports(pair):
    got = compare(pair, draws=20)
    first, second = (cnnlab.evaluate(run) for run in pair)
    for name, difference in got.against[0].differences.items():
        assert difference.value == pytest.approx(second[name] - first[name])


def test_mcnemars_counts_are_those_of_the_tables(pair):
    got = compare(pair, draws=5)
    right = [table["prediction"] == table["truth"] for table in got.examples]
    test = got.against[0].test
    assert (test.first_only, test.second_only) == ((right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum())
    assert set(got.differing()) == set(np.flatnonzero(right[0] != right[1]))


def test_a_run_equals_itself(pair):
    got = compare([pair[0], pair[0]], draws=5)
    assert all(d.value == d.low == d.high == 0 for d in got.against[0].differences.values())
    assert not len(got.differing())


def test_the_command_prints_and_writes_every_format(pair, tmp_path, capsys):
    runs = [str(run) for run in pair]
    assert main(["compare", *runs, "--draws", "20", "--output", str(tmp_path / "new")]) == 0
    assert "McNemar's exact test" in capsys.readouterr().out
    with open(tmp_path / "new" / "comparison.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} == set(compare(pair, draws=5).scores[0])
    assert (tmp_path / "new" / "comparison.tex").read_text().startswith(r"\begin{tabular}{lrrrrl}")
    assert "balanced accuracy" in (tmp_path / "new" / "comparison.md").read_text()
    assert main(["compare", *runs, "--draws", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["draws"] == 20


def test_one_run_or_another_task_is_refused(pair, capsys):
    assert main(["compare", str(pair[0])]) == 2
    assert "needs two RUNs or more, found 1" in capsys.readouterr().err
    masks = dataclasses.replace(cnnlab.load(pair[1]), task=cnnlab.tasks.Segmentation())
    with pytest.raises(ValueError, match="runs of one task can be compared, found Classification .* and Segmentation"):
        compare([pair[0], masks])


def test_the_table_of_examples_has_a_row_for_each_file(tmp_path, capsys):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    options = ["--data.path", str(tmp_path / "photos"), "--training.epochs", "1", "--run-dir", str(tmp_path / "run")]
    assert main(["train", "digits-linear", *options, "--training.batch-size", "4"]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--predictions", str(tmp_path / "test.csv")]) == 0
    with open(tmp_path / "test.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "split", "truth", "prediction", "correct", "probability", "probability_of_truth"]
    assert all(f"/photos/{row['truth']}/" in row["file"] for row in rows)
