import struct
import sys

import pytest

from cnnlab.training.events import event_writer


def test_the_numbers_of_an_epoch_become_scalars_and_those_that_are_not_finite_are_left_out(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    with event_writer(tmp_path, 10) as write:
        write({"epoch": 1, "step": 20, "loss": 0.5, "validation_nll": 0.25, "validation_ece": float("nan")})
    (path,) = tmp_path.iterdir()
    data, events = path.read_bytes(), []
    while data:  # TFRecord: length in 8 bytes, its checksum in 4, the record, its checksum in 4
        (n,) = struct.unpack("<Q", data[:8])
        events.append(Event.FromString(data[12 : 12 + n]))
        data = data[16 + n :]
    scalars = {value.tag: (event.step, value.simple_value) for event in events for value in event.summary.value}
    assert scalars == {"training/loss": (20, 0.5), "validation/nll": (20, 0.25)}


def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with event_writer(tmp_path / "events", 0) as write:
        write({"epoch": 1, "step": 20, "loss": 0.5})
    assert not (tmp_path / "events").exists()
