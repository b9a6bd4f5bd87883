"""The time for which the device waits for data, on steps and batches of known lengths."""

import time
import types

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.data.prefetch import ahead
from cnnlab.training.waiting import Waiting, waited


def share(*, read, step, steps=10):
    """Trains for a number of steps of some seconds, each on a batch that takes some seconds to read."""
    waiting, free, began = Waiting(), [0.0], _now()
    for _ in waiting.timed(ahead(lambda _: time.sleep(read) or "batch", range(steps))):
        start = max(_now(), free[-1])  # the device takes one step after the other
        free.append(start + step)
        end = free[-1]
        waiting.started(types.SimpleNamespace(block_until_ready=lambda end=end: time.sleep(max(0, end - _now()))))
        time.sleep(max(0, free[-2] - _now()))  # the loop reads the metrics of the step before
    return waiting.taken() / (_now() - began)


def _now():
    return time.perf_counter()


def test_a_step_that_takes_longer_than_reading_never_waits_but_for_the_first_batch():
    assert share(read=0.005, step=0.08) < 0.15


def test_a_step_that_takes_half_as_long_as_reading_waits_half_of_the_time():
    assert share(read=0.06, step=0.03) == pytest.approx(0.5, abs=0.2)


def test_much_waiting_gives_advice_and_little_gives_none():
    assert "cnnlab data pack" in waited([{"seconds": 1.0, "waiting": 0.2}])
    assert "cnnlab data pack" not in waited([{"seconds": 1.0, "waiting": 0.05}])
    assert waited([{"seconds": 1.0}]) is None


def test_training_on_photos_that_stay_on_disk_says_how_long_it_waited(tmp_path, capsys):
    for i in range(20):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), 10 * i, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "ab"[i % 2] / f"{i:02}.png")
    data = cnnlab.Choice("folder", path=str(tmp_path / "photos"), memory_megabytes=0)
    settings = cnnlab.Training(epochs=1, batch_size=7)
    trained = cnnlab.train(cnnlab.Experiment(data=data, model="linear", training=settings), tmp_path / "run")
    assert 0 <= trained.history["waiting"][0] <= 1
    assert "the step waited for data" in capsys.readouterr().err
