"""Damaged files of a run, full disks and links: one sentence each, and nothing is lost."""

import errno
import json
import os
import shutil

import pytest
from conftest import epochs

import cnnlab
from cnnlab.calibration.store import FILE, PostHoc, load_post_hoc, save_post_hoc
from cnnlab.calibration.temperature import Temperature
from cnnlab.training import checkpoint
from cnnlab.training.run import read_history


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the small run."""
    return shutil.copytree(run, tmp_path / "run")


def step_file(run, name):
    (file,) = (run / "checkpoints").glob(f"*/{name}")
    return file


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff\xfe", b'{"schema": 2}', b'{"data": {"name": []}}', b"[" * 9999]
)
def test_a_damaged_experiment_is_named_and_nothing_is_changed(copy, small, content):
    (copy / "experiment.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"experiment\.json"):
        cnnlab.train(epochs(small, 2), copy, quiet=True)
    assert (copy / "experiment.json").read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"\xff{\n", b"[]\n", b"null\n", b'{"a": 1}\n', b'{"step": "3"}\n', b'{"step": 3, "loss": []}\n']
)
def test_a_damaged_line_of_the_history_is_named_and_left_out(copy, content):
    rows = read_history(copy)
    with open(copy / "metrics.jsonl", "ab") as file:
        file.write(content)
    with pytest.warns(UserWarning, match=rf"metrics\.jsonl line {len(rows) + 1}.*the epoch is left out"):
        assert read_history(copy) == rows


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"schema": 2}', "x"])
def test_a_step_with_a_damaged_config_is_set_aside_when_training_goes_on(copy, small, content):
    step_file(copy, "config/metadata").write_text(content)
    with pytest.raises(ValueError, match="no checkpoint of .* is whole, see its folder damaged"):
        cnnlab.train(epochs(small, 2), copy, quiet=True)
    assert len(list((copy / "damaged").iterdir())) == 1


@pytest.mark.parametrize("content", ["[]", "", "\0"])
def test_damaged_notes_of_orbax_are_set_aside_and_the_step_is_read(copy, content):
    step_file(copy, "_CHECKPOINT_METADATA").write_text(content)
    with pytest.warns(UserWarning, match="_CHECKPOINT_METADATA.*the file is moved"):
        cnnlab.load(copy)


def test_a_flipped_digit_of_a_metric_chooses_no_other_step(copy):
    file = step_file(copy, "metrics/metrics")
    text = file.read_text()
    metrics = json.loads(text)
    name = next(name for name, value in metrics.items() if isinstance(value, float))
    file.write_text(text.replace(json.dumps(metrics[name]), json.dumps(metrics[name] + 1), 1))
    refused = pytest.raises(ValueError, match="holds no checkpoint")
    with pytest.warns(UserWarning, match="its digest differs; the step is moved"), refused:
        cnnlab.load(copy)


def test_metrics_of_earlier_versions_have_no_digest_and_are_read(copy):
    file = step_file(copy, "metrics/metrics")
    metrics = json.loads(file.read_text())
    assert metrics.pop("own_digest")
    file.write_text(json.dumps(metrics))
    cnnlab.load(copy)


@pytest.fixture
def calibrated(copy):
    save_post_hoc(PostHoc(None, 100, Temperature(1.5)), cnnlab.load(copy), copy)
    return copy


def test_a_flipped_digit_of_a_calibration_is_refused_and_one_without_digest_is_read(calibrated):
    trained = cnnlab.load(calibrated)
    value = json.loads((calibrated / FILE).read_text())
    value["fits"][0]["calibration"]["temperature"] += 0.5
    (calibrated / FILE).write_text(json.dumps(value))
    with pytest.raises(ValueError, match=r"post_hoc\.json cannot be read \(its digest differs from its content\)"):
        load_post_hoc(calibrated, trained)
    del value["digest"]
    (calibrated / FILE).write_text(json.dumps(value))
    assert load_post_hoc(calibrated, trained).calibration.temperature == value["fits"][0]["calibration"]["temperature"]


@pytest.mark.parametrize("change", [{"method": []}, {"method": "temperature", "temperature": 10**400}, [], 3])
def test_a_calibration_of_other_values_is_named(calibrated, change):
    trained = cnnlab.load(calibrated)
    value = json.loads((calibrated / FILE).read_text())
    value["fits"][0]["calibration"] = change
    del value["digest"]
    (calibrated / FILE).write_text(json.dumps(value))
    with pytest.raises(ValueError, match=r"post_hoc\.json cannot be read"):
        load_post_hoc(calibrated, trained)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x"), ValueError("RESOURCE_EXHAUSTED: ... No space left")])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(small, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", fail)
    with pytest.raises(OSError, match=r"the disk of .*run is full; make room, and the same command goes on$"):
        cnnlab.train(small, tmp_path / "run", quiet=True)
    monkeypatch.setattr(checkpoint, "save", save)
    cnnlab.train(small, tmp_path / "run", quiet=True)


def test_a_run_that_was_moved_while_it_trained_is_said_so(small, tmp_path, monkeypatch):
    def move(*_, **__):
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(checkpoint, "save", move)
    with pytest.raises(OSError, match="was moved or deleted while it was written; move it back"):
        cnnlab.train(small, tmp_path / "run", quiet=True)


def test_a_pipe_in_the_place_of_the_history_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match=r"metrics\.jsonl is not a regular file"):
        read_history(tmp_path)
