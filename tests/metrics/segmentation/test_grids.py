import numpy as np
import pytest

from cnnlab.metrics.segmentation.grids import grid_power


def test_stripes_on_a_dot_have_the_power_of_the_arithmetic():
    dot = np.zeros((32, 64))
    dot[0, 0] = 1  # its spectrum is 1 at every frequency of the first row and the first column, and 0 in the others
    stripes = 0.5 * (-1) ** np.arange(64) * (np.arange(32)[:, None] == 0)
    # In the row, the stripes add 64 / 2 at the Nyquist frequency. In the columns, a value of the first row has a flat
    # spectrum, with or without them.
    assert grid_power(dot + stripes) == pytest.approx(((1 + 32) ** 2 + 1) / 2)
    assert grid_power((dot + stripes).T) == pytest.approx(((1 + 32) ** 2 + 1) / 2)


def test_noise_has_a_ratio_of_one_and_a_smooth_map_of_less():
    noise = np.random.default_rng(0).normal(size=(40, 64, 48))
    assert grid_power(noise) == pytest.approx(1, abs=0.1)
    smooth = (noise + np.roll(noise, 1, -1) + np.roll(noise, 1, -2) + np.roll(noise, (1, 1), (-1, -2))) / 4
    assert grid_power(smooth) < 0.2


def test_the_ratio_does_not_depend_on_the_unit_of_the_map_nor_on_a_constant():
    maps = np.random.default_rng(0).normal(size=(3, 33, 47))
    assert grid_power(1e-3 * maps + 5) == pytest.approx(grid_power(maps))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.ones((31, 64)), "at least 32 pixels high and wide, found 31x64"),
        (np.full((32, 32), np.nan), "must not hold NaN"),
        (np.zeros((32, 32)), "must vary"),
    ],
)
def test_maps_without_a_ratio_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        grid_power(maps)
