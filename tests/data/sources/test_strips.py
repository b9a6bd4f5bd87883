import numpy as np
import pytest

from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.strips import _ink_columns, _paste, strips

FEW = {"train": 6, "validation": 3, "test": 3}


@pytest.fixture(scope="module")
def data():
    return strips(**FEW)


def test_a_strip_depends_on_its_number_and_epoch_alone(data):
    train = data["train"]
    whole, one = train[np.arange(6)], train[np.array([4])]
    np.testing.assert_array_equal(whole["image"][4], one["image"][0])
    other = train.of_epoch(0, 1)
    assert (other[np.arange(6)]["image"] != whole["image"]).any()
    np.testing.assert_array_equal(other[np.array([2])]["image"], train.of_epoch(0, 1)[np.arange(6)]["image"][2:3])
    assert train.digest() == strips(**FEW)["train"].digest() != other.digest()


def test_the_strings_alone_are_those_of_the_strips(data):
    np.testing.assert_array_equal(data["train"].column("text"), data["train"][np.arange(6)]["text"])


def test_no_scan_is_in_two_splits_and_the_test_strips_stay(data):
    scans = {split: {image.tobytes() for image in digits()[split].column("image")} for split in ("train", "test")}
    own = {image.tobytes() for image in data["train"].scans.image}
    assert own == scans["train"]
    assert not own & scans["test"]
    assert data["test"].digest() == strips(**FEW)["test"].digest()


def test_every_length_occurs_and_padding_follows_the_digits():
    text = strips(lengths=(2, 4), train=300, validation=1, test=1)["train"].column("text")
    assert text.shape == (300, 4)
    length = (text >= 0).sum(1)
    assert np.bincount(length).tolist()[:2] == [0, 0]
    assert (np.bincount(length)[2:] > 70).all()
    assert ((text >= 0) == (np.arange(4) < length[:, None])).all()


def test_digits_that_would_not_fit_are_drawn_smaller_and_stay_inside():
    data = strips(lengths=(8, 8), width=64, noise=0, slant=0, gaps=(2.0, 2.0), train=4, validation=1, test=1)
    ink = data["train"][np.arange(4)]["image"][..., 0] > 60
    assert ink[:, :, 1:-1].any((1, 2)).all()
    assert ink.any(1).sum(1).max() <= 64
    assert not ink[:, :, 0].any()


def test_a_slanted_scan_leans_to_the_right_as_far_as_its_ink_columns_say():
    scan = np.zeros((28, 28), np.uint8)
    scan[4:24, 14] = 255
    left, right = _ink_columns(scan[None], np.array([0.5]))
    assert (left[0], right[0]) == (14 - 0.5 * 9.5, 14 + 0.5 * 9.5 + 1)
    strip = np.zeros((28, 60), np.float32)
    _paste(strip, scan, slant=0.5, scale=1.0, x=10.0, y=0.0)
    columns = (strip * np.arange(60)).sum(1)[4:24] / strip.sum(1)[4:24]
    np.testing.assert_allclose(columns, 10 + 14 + 0.5 * (13.5 - np.arange(4, 24)), atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": (0, 3)}, "within 1..64, found \\(0, 3\\)"),
        ({"width": 40}, "width must lie in 80..4096"),
        ({"test": 0}, "sizes must be 1 or more"),
        ({"scales": (0.1, 1.0)}, "scales must be two numbers"),
        ({"gaps": (3.0, 1.0)}, "gaps must be two numbers"),
        ({"noise": -1.0}, "slant and noise"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        strips(**(FEW | options))
