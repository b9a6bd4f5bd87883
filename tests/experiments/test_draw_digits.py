import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def draw_digits():
    sys.path.insert(0, str(FOLDER))  # as `python experiments/...` does
    spec = importlib.util.spec_from_file_location("draw_digits", FOLDER / "draw_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_bar_is_followed_from_end_to_end(draw_digits):
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 13:16] = 255
    (stroke,) = draw_digits.strokes_of(digit)
    x, y = np.array(stroke).T
    assert abs(x - 145).max() < 10  # tenths of a pixel, the middle of the bar
    assert (y.min(), y.max()) == pytest.approx((40, 240), abs=25)
    assert (np.diff(y) > 0).all()


def test_a_cross_is_two_strokes_that_go_straight_on(draw_digits):
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 13:16] = digit[13:16, 4:24] = 255
    lengths = sorted(len(stroke) for stroke in draw_digits.strokes_of(digit))
    assert lengths[-1] > 60
    assert sum(lengths) > 130


def test_mnist_files_are_read_with_their_shape(draw_digits, tmp_path):
    import gzip

    path = tmp_path / "digits.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02abcd"))
    assert draw_digits.read_idx(path).tolist() == [[[97, 98]], [[99, 100]]]
