import numpy as np
import pytest

from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.pen_styles import STYLES
from cnnlab.data.sources.strokes import strokes


@pytest.fixture(scope="module")
def drawn():
    return strokes(drawn=200, widths=1)


def test_every_digit_has_several_styles_within_reach_of_the_unit_square():
    for digit, styles in STYLES.items():
        points = np.array([point for style in styles for stroke in style for point in stroke])
        assert len(styles) >= 5, digit
        assert points.min() >= 0
        assert points.max() <= 1.3


def test_drawn_digits_are_20_pixels_long_with_their_mass_in_the_middle(drawn):
    ink = drawn["train"].column("image")[-150:, ..., 0] / 255.0  # curves stand last
    length = np.maximum((ink > 0.5).any(2).sum(1), (ink > 0.5).any(1).sum(1))
    place = np.arange(28) + 0.5
    middle = np.stack([ink.sum(2) @ place, ink.sum(1) @ place], 1) / ink.sum((1, 2))[:, None]
    assert abs(length - 20).max() <= 1
    assert abs(middle - 14).max() < 1


def test_the_test_split_is_that_of_the_embedded_digits(drawn):
    assert drawn["test"].column("label").tolist() == digits()["test"].column("label").tolist()


def test_the_seed_draws_the_same_digits(drawn):
    again, other = strokes(drawn=200, widths=1), strokes(drawn=200, widths=1, seed=1)
    assert again.fingerprint() == drawn.fingerprint()
    assert other["train"].digest() != drawn["train"].digest()


def test_too_few_curves_are_refused():
    with pytest.raises(ValueError, match="drawn must be 100 or more"):
        strokes(drawn=10)
