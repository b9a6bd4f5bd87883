"""Tests of the positional encoding against values computed by hand."""

import numpy as np
import pytest

from cnnlab.nn import pixel_positions, positional_encoding


def test_each_coordinate_becomes_its_sines_then_its_cosines():
    x, y = 0.25, -0.5
    angles = np.pi * np.array([1, 2, 4])
    expected = [*np.sin(angles * x), *np.cos(angles * x), *np.sin(angles * y), *np.cos(angles * y)]
    np.testing.assert_allclose(positional_encoding(np.array([[x, y]]), 3)[0], expected, atol=1e-6)


def test_pixel_centres_lie_symmetric_in_minus_one_to_one():
    rows, columns = np.moveaxis(np.asarray(pixel_positions(4, 2)), -1, 0)
    np.testing.assert_allclose(rows[:, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(columns[0], [-0.5, 0.5])


def test_no_frequency_is_refused():
    with pytest.raises(ValueError, match="frequencies must be 1 or more, found 0"):
        positional_encoding(np.zeros((1, 2)), 0)
